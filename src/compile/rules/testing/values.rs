//! The values that the tensors of a case have.

/// Value `index` of `total` in (−2, 2), in shuffled order, away from multiples of one half.
pub(super) fn grid(index: usize, total: usize) -> f64 {
    let coprime =
        |step: &usize| (2..=*step).all(|d| !step.is_multiple_of(d) || !total.is_multiple_of(d));
    let step = (total * 5 / 8 + 1..).find(coprime).unwrap_or(1);
    let place = 8.0 * ((index * step % total) as f64 + 0.5) / total as f64;
    (place.floor() + 0.1 + 0.8 * place.fract()) / 2.0 - 2.0
}

/// Number `index` of a fixed sequence in (−2, 2) that looks random.
pub(super) fn scatter(index: usize) -> f64 {
    4.0 * ((index as f64 + 1.0) * 0.754_877_666_246_693 + 0.11).fract() - 2.0
}
