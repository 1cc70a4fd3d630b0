//! Random numbers from a seed.

/// SplitMix64, its first numbers from bytes where there are any.
pub struct Random {
    state: u64,
    bytes: Vec<u8>,
}

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, bytes: Vec::new() }
    }

    /// A number a byte, and those of seed 0 when they are used up.
    #[allow(dead_code, reason = "fuzzing takes its graphs from bytes")]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self { state: 0, bytes: bytes.iter().rev().copied().collect() }
    }

    fn next(&mut self) -> u64 {
        match self.bytes.pop() {
            Some(byte) => mix(byte.into()),
            None => {
                self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                mix(self.state)
            }
        }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A number from `low` to `high`, both meant.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True in one of `n` cases.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A number from −1 to 1, never within 0.05 of 0.
    pub fn float(&mut self) -> f64 {
        let size = 0.05 + 0.95 * (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        if self.one_in(2) { size } else { -size }
    }

    /// As many of [`Random::float`].
    pub fn floats(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.float()).collect()
    }

    /// One of a list.
    pub fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
