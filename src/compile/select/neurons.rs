//! Which neurons of a layer: `all`, `top:K`, `3,17,40..49`, `[12,3,4]`, `[12,:,:]`, `runtime`.

use std::fmt;
use std::str::FromStr;

use super::neuron_count;
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

/// A choice of neurons whose flat numbers are known, or are to be known at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Neurons {
    /// Every one.
    All,
    /// The K of largest activity, by sample, in falling order.
    Top(usize),
    /// These flat numbers.
    List(Vec<i64>),
    /// Those the graph is given as an input.
    Runtime,
}

impl fmt::Display for Neurons {
    /// As it is typed, with numbers in a row as ranges.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Top(k) => write!(f, "top:{k}"),
            Self::Runtime => f.write_str("runtime"),
            Self::List(list) => {
                let rows = list.chunk_by(|a, b| a + 1 == *b);
                let texts = rows.map(|row| match row {
                    [one] => one.to_string(),
                    _ => format!("{}..{}", row[0], row[row.len() - 1]),
                });
                f.write_str(&texts.collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// A choice of neurons as it is typed, before the layer is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// `all`
    All,
    /// `top:K`
    Top(usize),
    /// `runtime`
    Runtime,
    /// A list of numbers, ranges with both ends, and coordinates.
    Items(Vec<Item>),
}

/// One item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `3` or `40..49`, both ends meant.
    Flat(i64, i64),
    /// `[12,:,3..5]`: a number, a range or everything along each axis.
    Coordinates(Vec<Option<(i64, i64)>>),
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let help = "--neurons takes all, top:K, runtime, or a list such as 3,17,40..49 or [12,3,4] or [12,:,:]";
        let bad = || Error::request(format!("'{text}' names no neurons")).help(help);
        match text {
            "all" => return Ok(Self::All),
            "runtime" => return Ok(Self::Runtime),
            _ => {}
        }
        if let Some(count) = text.strip_prefix("top:") {
            let count = count.parse().ok().filter(|&k| k > 0).ok_or_else(bad)?;
            return Ok(Self::Top(count));
        }
        let items: Option<Vec<Item>> = split_items(text).into_iter().map(item).collect();
        items.filter(|items| !items.is_empty()).map(Self::Items).ok_or_else(bad)
    }
}

/// The parts of a list between commas that stand in no brackets.
fn split_items(text: &str) -> Vec<&str> {
    let mut depth = 0i32;
    text.split(|c| {
        depth += i32::from(c == '[') - i32::from(c == ']');
        c == ',' && depth == 0
    })
    .map(str::trim)
    .collect()
}

fn item(text: &str) -> Option<Item> {
    match text.strip_prefix('[') {
        None => range(text).map(|(a, b)| Item::Flat(a, b)),
        Some(rest) => parse_coordinates(rest.strip_suffix(']')?).map(Item::Coordinates),
    }
}

/// Coordinates such as `12,:,3..5`, an entry an axis, nothing for everything along it.
fn parse_coordinates(text: &str) -> Option<Vec<Option<(i64, i64)>>> {
    let axis = |part: &str| match part.trim() {
        ":" => Some(None),
        part => range(part).map(Some),
    };
    text.split(',').map(axis).collect()
}

fn range(text: &str) -> Option<(i64, i64)> {
    let number = |text: &str| text.trim().parse::<u32>().ok().map(i64::from);
    match text.split_once("..") {
        None => number(text).map(|n| (n, n)),
        Some((a, b)) => {
            let (a, b) = (number(a)?, number(b)?);
            (a <= b).then_some((a, b))
        }
    }
}

impl Choice {
    /// The neurons of a layer whose samples have the dimensions `dims`; `most` limits how many.
    ///
    /// # Errors
    /// When a number or coordinate lies outside the layer, or the layer's size must be known and
    /// is not.
    pub fn resolve(&self, dims: &[Dim]) -> Result<Neurons> {
        let count = neuron_count(dims);
        match self {
            Self::All => Ok(Neurons::All),
            Self::Runtime => Ok(Neurons::Runtime),
            Self::Top(k) => match count {
                Some(count) if *k as i64 > count => {
                    Err(Error::request(format!("top:{k} of a layer of {count} neurons")))
                }
                _ => Ok(Neurons::Top(*k)),
            },
            Self::Items(items) => {
                let mut list = Vec::new();
                for item in items {
                    match item {
                        Item::Flat(a, b) => push_flat(&mut list, *a, *b, count)?,
                        Item::Coordinates(axes) => push_coordinates(&mut list, axes, dims)?,
                    }
                }
                Ok(Neurons::List(list))
            }
        }
    }
}

fn push_flat(list: &mut Vec<i64>, a: i64, b: i64, count: Option<i64>) -> Result<()> {
    if let Some(count) = count.filter(|&count| b >= count) {
        return Err(Error::request(format!(
            "neuron {b} of a layer of {count} neurons, numbered from 0"
        )));
    }
    if b - a >= 1 << 24 {
        return Err(Error::request(format!(
            "the {} neurons {a}..{b} are too many to list",
            b - a + 1
        )));
    }
    list.extend(a..=b);
    Ok(())
}

fn push_coordinates(list: &mut Vec<i64>, axes: &[Option<(i64, i64)>], dims: &[Dim]) -> Result<()> {
    let Some(sizes) = dims.iter().map(fixed).collect::<Option<Vec<_>>>() else {
        return Err(Error::request(format!(
            "coordinates need a layer of known size, and this one is {dims:?}"
        ))
        .help("use flat numbers, top:K or runtime"));
    };
    if axes.len() != sizes.len() {
        return Err(Error::request(format!(
            "{} coordinates for a layer of {} axes {sizes:?}",
            axes.len(),
            sizes.len()
        )));
    }
    let mut flat = vec![0i64];
    for (axis, (&range, &size)) in axes.iter().zip(&sizes).enumerate() {
        let (a, b) = range.unwrap_or((0, size - 1));
        if b >= size {
            return Err(Error::request(format!(
                "coordinate {b} on axis {axis} of a layer {sizes:?}, numbered from 0"
            )));
        }
        flat = flat.iter().flat_map(|base| (a..=b).map(move |i| base * size + i)).collect();
    }
    list.extend(flat);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims() -> Vec<Dim> {
        [2, 3, 4].into_iter().map(Dim::Value).collect()
    }

    fn resolve(text: &str) -> Result<Neurons> {
        text.parse::<Choice>()?.resolve(&dims())
    }

    #[test]
    fn every_form_is_read() {
        let list = |values: &[i64]| Neurons::List(values.to_vec());
        let cases = [
            ("all", Neurons::All),
            ("runtime", Neurons::Runtime),
            ("top:3", Neurons::Top(3)),
            ("3,17,20..22", list(&[3, 17, 20, 21, 22])),
            ("[1,2,3]", list(&[23])),
            ("[1,0,:]", list(&[12, 13, 14, 15])),
            ("[0..1,2,0]", list(&[8, 20])),
            ("5, [0,0,1]", list(&[5, 1])),
        ];
        for (text, expected) in cases {
            assert_eq!(resolve(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn choices_are_written_as_they_are_typed() {
        for (text, written) in [
            ("all", "all"),
            ("top:3", "top:3"),
            ("runtime", "runtime"),
            ("3,17,20..22,0,1", "3,17,20..22,0..1"),
            ("[1,0,:]", "12..15"),
        ] {
            assert_eq!(resolve(text).unwrap().to_string(), written);
        }
    }

    #[test]
    fn what_is_no_neuron_is_refused() {
        for text in
            ["", "x", "-1", "24", "3..2", "top:0", "top:25", "[1,2]", "[2,0,0]", "[1,2,3", "1,,2"]
        {
            assert!(resolve(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_layer_of_unknown_size_takes_numbers_but_no_coordinates() {
        let dims = [Dim::pos_var("h"), Dim::Value(4)];
        assert!("7".parse::<Choice>().unwrap().resolve(&dims).is_ok());
        assert!("[0,1]".parse::<Choice>().unwrap().resolve(&dims).is_err());
    }
}
