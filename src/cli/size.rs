//! Amounts of memory as people type them.

use std::str::FromStr;

use crate::error::{Error, Result};

/// A number of bytes: `512M`, `8G`, `1.5GiB`, `300000`; K, M, G and T count in steps of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// What a run may hold where the machine does not say how much memory it has.
const MODEST: u64 = 4 << 30;

impl Size {
    /// A quarter of the machine's memory.
    pub fn quarter_of_memory() -> Self {
        let total = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
        });
        Self(total.map_or(MODEST, |total| total / 4))
    }
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::request(format!("'{text}' is no amount of memory"))
                .help("write it as 512M, 8G or a number of bytes")
        };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let steps = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 1,
            "m" | "mb" | "mib" => 2,
            "g" | "gb" | "gib" => 3,
            "t" | "tb" | "tib" => 4,
            _ => return Err(bad()),
        };
        let bytes = number.parse::<f64>().map_err(|_| bad())? * 1024f64.powi(steps);
        if bytes < u64::MAX as f64 { Ok(Self(bytes as u64)) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        let cases = [
            ("512M", 512 << 20),
            ("8G", 8 << 30),
            ("1.5GiB", 3 << 29),
            ("300000", 300_000),
            ("64 kb", 64 << 10),
            ("0", 0),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<Size>().unwrap(), Size(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "M", "-1", "8X", "1..5G", "1e9", "99999999999T", "nan"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_machine_has_some_memory() {
        assert!(Size::quarter_of_memory().0 > 1 << 20);
    }
}
