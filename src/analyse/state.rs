//! Which ReLUs are active and which inputs won each pooling window, over a data set.

use sha2::{Digest, Sha256};

use super::summary::{Moments, Summary};

/// The state of a network at one input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether each neuron is active, 64 a word.
    words: Vec<u64>,
    neurons: usize,
    /// The winner of each window, counted from 1; 0 where there is none.
    winners: Vec<u32>,
}

impl State {
    /// Appends the neurons of a layer: active where v > 0.
    pub fn push_layer(&mut self, v: &[f64]) {
        for &v in v {
            let (word, bit) = (self.neurons / 64, self.neurons % 64);
            if word == self.words.len() {
                self.words.push(0);
            }
            self.words[word] |= u64::from(v > 0.0) << bit;
            self.neurons += 1;
        }
    }

    /// Appends the winners of a pooling's windows.
    pub fn push_winners(&mut self, winners: &[Option<usize>]) {
        let number =
            |winner: &Option<usize>| winner.map_or(0, |w| u32::try_from(w + 1).unwrap_or(u32::MAX));
        self.winners.extend(winners.iter().map(number));
    }

    /// The number of neurons.
    pub fn neurons(&self) -> usize {
        self.neurons
    }

    /// The bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.words) + size_of_val(&*self.winners)
    }

    /// The number of pooling windows.
    pub fn windows(&self) -> usize {
        self.winners.len()
    }

    /// The first 16 hexadecimal digits of the state's SHA-256: equal for inputs in one linear
    /// region, and for others with a probability of 2⁻⁶⁴.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        hash.update((self.neurons as u64).to_le_bytes());
        self.words.iter().for_each(|word| hash.update(word.to_le_bytes()));
        self.winners.iter().for_each(|winner| hash.update(winner.to_le_bytes()));
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The Hamming distance to the state of the same network at another input: how many neurons
    /// are active at one of the two only, and how many windows have another winner.
    pub fn distance(&self, other: &Self) -> (usize, usize) {
        let neurons =
            self.words.iter().zip(&other.words).map(|(a, b)| (a ^ b).count_ones() as usize);
        let windows = self.winners.iter().zip(&other.winners).filter(|(a, b)| a != b);
        (neurons.sum(), windows.count())
    }
}

/// How a layer's neurons are active over a data set.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// At how many samples each neuron is active.
    active: Vec<u32>,
    samples: usize,
    inactive: Moments,
    idle: Moments,
}

impl Census {
    /// Takes in the activities of one sample and, where a max pooling follows, who wins a window.
    pub fn add(&mut self, v: &[f64], wins: Option<&[bool]>) {
        self.active.resize(v.len().max(self.active.len()), 0);
        let (mut off, mut idle) = (0, 0);
        for (neuron, (&v, count)) in v.iter().zip(&mut self.active).enumerate() {
            let on = v > 0.0;
            *count += u32::from(on);
            off += usize::from(!on);
            idle += usize::from(!on || wins.is_some_and(|wins| wins.get(neuron) == Some(&false)));
        }
        let share = |count: usize| count as f64 / v.len().max(1) as f64;
        self.inactive.add(share(off));
        self.idle.add(share(idle));
        self.samples += 1;
    }

    /// The number of neurons.
    pub fn neurons(&self) -> usize {
        self.active.len()
    }

    /// The share of neurons with v ≤ 0.
    pub fn inactive(&self) -> Summary {
        self.inactive.summary()
    }

    /// The share of neurons with v ≤ 0 or that win no window of the pooling that follows.
    pub fn idle(&self) -> Summary {
        self.idle.summary()
    }

    /// How many neurons are active at no sample.
    pub fn dead(&self) -> usize {
        self.active.iter().filter(|&&count| count == 0).count()
    }

    /// How many neurons are active at every sample.
    pub fn always_on(&self) -> usize {
        self.active.iter().filter(|&&count| count as usize == self.samples).count()
    }

    /// The share of samples at which each neuron is active.
    pub fn activity(&self) -> Vec<f64> {
        self.active.iter().map(|&count| f64::from(count) / self.samples.max(1) as f64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(v: &[f64], winners: &[Option<usize>]) -> State {
        let mut state = State::default();
        state.push_layer(v);
        state.push_winners(winners);
        state
    }

    #[test]
    fn states_differ_by_neurons_and_by_windows() {
        let long: Vec<f64> = (0..130).map(|i| if i % 2 == 0 { 1.0 } else { 0.0 }).collect();
        let mut other = long.clone();
        (other[1], other[129]) = (1.0, 1.0);
        let (a, b) = (state(&long, &[Some(3), None]), state(&other, &[Some(4), None]));
        assert_eq!((a.distance(&b), a.distance(&a)), ((2, 1), (0, 0)));
        assert_eq!((a.neurons(), a.windows()), (130, 2));
        assert_ne!(a.hash(), b.hash());
        assert_eq!(a.hash(), state(&long, &[Some(3), None]).hash());
        assert_eq!(a.hash().len(), 16);
    }

    #[test]
    fn layers_are_packed_one_behind_another() {
        let mut parts = State::default();
        parts.push_layer(&[1.0, -1.0]);
        parts.push_layer(&[2.0]);
        assert_eq!(parts, state(&[1.0, -1.0, 2.0], &[]));
        assert_ne!(parts.hash(), state(&[1.0, -1.0, 2.0, 0.0], &[]).hash());
    }

    #[test]
    fn a_census_counts_who_is_dead_and_who_is_always_on() {
        let mut census = Census::default();
        census.add(&[1.0, 0.0, -1.0, 1.0], Some(&[true, true, true, false]));
        census.add(&[1.0, 2.0, -1.0, 1.0], Some(&[true, true, true, true]));
        assert_eq!((census.neurons(), census.dead(), census.always_on()), (4, 1, 2));
        assert_eq!((census.inactive().mean, census.idle().mean), (0.375, 0.5));
        assert_eq!(census.activity(), [1.0, 0.5, 0.0, 1.0]);
    }
}
