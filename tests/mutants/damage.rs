//! Damage to the bytes of a file.

use crate::random::Random;

/// The file with one to three places damaged, most of them in its first and last bytes, where
/// files keep more structure than weights.
pub fn damage(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.between(1, 3) {
        let at = place(random, bytes.len());
        match random.below(8) {
            0 => bytes.truncate(at + 1),
            1 => {
                bytes.remove(at);
            }
            2 => bytes.insert(at, random.below(256) as u8),
            // A length or a number as large as the format allows.
            3 => {
                let end = bytes.len().min(at + 1);
                bytes.splice(at..end, [0xff; 9].into_iter().chain([1]));
            }
            4 => {
                let from = place(random, bytes.len());
                let end = bytes.len().min(from + random.between(1, 200));
                let part = bytes[from..end].to_vec();
                bytes.splice(at..at, part);
            }
            5 => bytes[at] ^= 1 << random.below(8),
            _ => bytes[at] = random.below(256) as u8,
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

fn place(random: &mut Random, length: usize) -> usize {
    let near = random.below(length.min(4096));
    match random.below(3) {
        0 => near,
        1 => length - 1 - near,
        _ => random.below(length),
    }
}
