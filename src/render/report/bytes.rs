//! Bytes as text, and the sums of PNG chunks.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The bytes in base 64 (RFC 4648), padded.
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > group.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

/// The cyclic redundancy check of PNG (ISO 3309).
pub fn crc(bytes: &[u8]) -> u32 {
    let step =
        |sum: u32, &byte: &u8| {
            (0..8).fold(sum ^ u32::from(byte), |c, _| {
                if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 }
            })
        };
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_in_base_64() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[255, 254, 253]), "//79");
    }

    #[test]
    fn the_check_is_that_of_the_standard() {
        assert_eq!((crc(b"123456789"), crc(b"")), (0xcbf4_3926, 0));
    }
}
