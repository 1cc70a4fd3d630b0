//! Reflections that take a vector to a multiple of the first axis.

/// `H = I − τ v vᵀ` with v₀ = 1, which is symmetric and orthogonal (Householder).
pub struct Reflection {
    /// v
    pub vector: Vec<f64>,
    /// τ; 0 where nothing is reflected.
    pub tau: f64,
    /// What the vector became: the multiple of the first axis.
    pub image: f64,
}

impl Reflection {
    /// The reflection of `x` onto the first axis, to the side away from `x`.
    pub fn of(x: &[f64]) -> Self {
        let mut vector = x.to_vec();
        let Some((head, tail)) = vector.split_first_mut() else {
            return Self { vector, tau: 0.0, image: 0.0 };
        };
        let (first, rest) = (*head, dot(tail, tail));
        *head = 1.0;
        if rest == 0.0 {
            tail.fill(0.0);
            return Self { vector, tau: 0.0, image: first };
        }
        let image = -first.signum() * (first * first + rest).sqrt();
        tail.iter_mut().for_each(|v| *v /= first - image);
        Self { vector, tau: (image - first) / image, image }
    }

    /// `Hx` in the place of a vector x of the same length.
    pub fn apply(&self, x: &mut [f64]) {
        if self.tau != 0.0 {
            axpy(-self.tau * dot(&self.vector, x), &self.vector, x);
        }
    }
}

/// Sums that are kept apart, so that they need not wait for each other.
const LANES: usize = 8;

/// `a · b`
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let ends = whole_a.remainder().iter().zip(whole_b.remainder());
    let rest: f64 = ends.map(|(a, b)| a * b).sum();
    let mut sums = [0.0; LANES];
    for (a, b) in whole_a.zip(whole_b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// Adds `factor` times `x` to `y`.
pub fn axpy(factor: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_is_taken_to_the_first_axis() {
        for x in [vec![3.0, 4.0], vec![-1.0, 2.0, -2.0], vec![0.0, 1.0], vec![5.0], vec![2.0, 0.0]]
        {
            let reflection = Reflection::of(&x);
            let mut image = x.clone();
            reflection.apply(&mut image);
            let length = dot(&x, &x).sqrt();
            assert!((image[0] - reflection.image).abs() < 1e-15, "{x:?}");
            assert!((image[0].abs() - length).abs() < 1e-15, "{x:?}");
            assert!(image[1..].iter().all(|v| v.abs() < 1e-15), "{x:?}");
        }
        assert!(Reflection::of(&[]).vector.is_empty());
    }

    #[test]
    fn long_vectors_are_multiplied_like_short_ones() {
        let x: Vec<f64> = (0..21).map(f64::from).collect();
        assert_eq!(dot(&x, &x), 2870.0);
        assert_eq!(dot(&x[..3], &x[..3]), 5.0);
    }
}
