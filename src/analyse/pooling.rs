//! Who wins the windows of a max pooling.

/// The windows of a max pooling over the last axes of one sample: `[c…, x…]` to `[c…, y…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// The kernel's extents.
    pub kernel: Vec<usize>,
    /// The steps from one window to the next.
    pub strides: Vec<usize>,
    /// The steps within a window.
    pub dilations: Vec<usize>,
    /// How many places the first window begins before the first element.
    pub begin: Vec<usize>,
    /// The extents of one sample that enters.
    pub input: Vec<usize>,
    /// The extents of one sample that leaves; the leading ones are those of `input`.
    pub output: Vec<usize>,
}

impl Windows {
    /// The number of windows of one sample.
    pub fn count(&self) -> usize {
        self.output.iter().product()
    }

    /// The flat numbers of the elements in one window, in row-major order.
    pub fn members(&self, window: usize) -> Vec<usize> {
        let lead = self.output.len().saturating_sub(self.kernel.len());
        let sizes = &self.input[lead..];
        let mut rest = window;
        let mut at = vec![0; self.kernel.len()];
        for (place, &extent) in at.iter_mut().zip(&self.output[lead..]).rev() {
            (*place, rest) = (rest % extent.max(1), rest / extent.max(1));
        }
        let mut members = vec![rest];
        for (axis, &size) in sizes.iter().enumerate() {
            let start = at[axis] * self.strides[axis];
            let steps = (0..self.kernel[axis]).map(|k| start + k * self.dilations[axis]);
            let inside: Vec<usize> = steps
                .filter_map(|place| place.checked_sub(self.begin[axis]).filter(|&p| p < size))
                .collect();
            members = members
                .iter()
                .flat_map(|&base| inside.iter().map(move |p| base * size + p))
                .collect();
        }
        members
    }

    /// The winner of each window: of equal candidates the first in row-major order. A window that
    /// holds nothing but padding has none.
    pub fn winners(&self, values: &[f64]) -> Vec<Option<usize>> {
        let best = |best: Option<usize>, member: usize| match best {
            Some(best) if values.get(member) <= values.get(best) => Some(best),
            _ => Some(member),
        };
        (0..self.count()).map(|window| self.members(window).into_iter().fold(None, best)).collect()
    }
}

/// Which of `count` elements win a window.
pub fn wins(winners: &[Option<usize>], count: usize) -> Vec<bool> {
    let mut wins = vec![false; count];
    for &winner in winners.iter().flatten() {
        if let Some(win) = wins.get_mut(winner) {
            *win = true;
        }
    }
    wins
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(kernel: usize, stride: usize, begin: usize, input: usize, output: usize) -> Windows {
        Windows {
            kernel: vec![kernel; 2],
            strides: vec![stride; 2],
            dilations: vec![1; 2],
            begin: vec![begin; 2],
            input: vec![2, input, input],
            output: vec![2, output, output],
        }
    }

    #[test]
    fn windows_hold_their_elements_in_order() {
        let windows = square(2, 2, 0, 4, 2);
        assert_eq!(windows.members(0), [0, 1, 4, 5]);
        assert_eq!(windows.members(3), [10, 11, 14, 15]);
        assert_eq!(windows.members(4), [16, 17, 20, 21]);
    }

    #[test]
    fn padding_is_no_element() {
        let windows = square(3, 2, 1, 4, 2);
        assert_eq!(windows.members(0), [0, 1, 4, 5]);
        assert_eq!(windows.members(1), [1, 2, 3, 5, 6, 7]);
    }

    #[test]
    fn dilated_windows_leave_places_out() {
        let windows = Windows { dilations: vec![2, 1], ..square(2, 1, 0, 4, 2) };
        assert_eq!(windows.members(1), [1, 2, 9, 10]);
    }

    #[test]
    fn the_first_of_equals_wins() {
        let windows =
            Windows { input: vec![1, 2, 4], output: vec![1, 1, 2], ..square(2, 2, 0, 0, 0) };
        let winners = windows.winners(&[1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0]);
        assert_eq!(winners, [Some(0), Some(7)]);
        let won = wins(&winners, 8);
        assert_eq!(won.iter().filter(|&&w| w).count(), 2);
        assert!(won[0] && won[7]);
    }

    #[test]
    fn overlapping_windows_may_share_a_winner_and_empty_ones_have_none() {
        let windows = Windows { input: vec![3], output: vec![2], ..line(2, 1, 0) };
        assert_eq!(windows.winners(&[0.0, 5.0, 1.0]), [Some(1), Some(1)]);
        let windows = Windows { input: vec![1], output: vec![2], ..line(1, 1, 1) };
        assert_eq!(windows.winners(&[3.0]), [None, Some(0)]);
    }

    fn line(kernel: usize, stride: usize, begin: usize) -> Windows {
        Windows {
            kernel: vec![kernel],
            strides: vec![stride],
            dilations: vec![1],
            begin: vec![begin],
            input: Vec::new(),
            output: Vec::new(),
        }
    }
}
