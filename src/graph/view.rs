//! Contents of small tensors, rearranged without a runtime.

/// The contents of a small tensor seen through strides: element `i` is `data[start + Σ i·strides]`.
#[derive(Clone)]
pub struct View<T> {
    data: Vec<T>,
    start: i64,
    dims: Vec<i64>,
    strides: Vec<i64>,
}

impl<T: Clone> View<T> {
    /// Elements in row-major order; none where they are not as many as `dims` say.
    #[must_use]
    pub fn new(data: Vec<T>, dims: Vec<i64>) -> Option<Self> {
        let strides =
            (0..dims.len()).map(|axis| count(&dims[axis + 1..])).collect::<Option<_>>()?;
        (count(&dims)? == data.len() as i64).then_some(Self { data, start: 0, dims, strides })
    }

    /// The elements in row-major order.
    #[must_use]
    pub fn elements(&self) -> Option<Vec<T>> {
        let element = |flat: i64| {
            let (mut at, mut rest) = (self.start, flat);
            for (dim, stride) in self.dims.iter().zip(&self.strides).rev() {
                at += (rest % dim) * stride;
                rest /= dim;
            }
            self.data.get(usize::try_from(at).ok()?).cloned()
        };
        (0..count(&self.dims)?).map(element).collect()
    }

    /// The dimensions.
    #[must_use]
    pub fn dims(&self) -> &[i64] {
        &self.dims
    }

    /// The elements in row-major order under other dimensions, one of which may be -1.
    #[must_use]
    pub fn reshaped(&self, to: &[i64]) -> Option<Self> {
        let data = self.elements()?;
        let given: Vec<i64> = to.iter().copied().filter(|&d| d != -1).collect();
        let open = to.len() - given.len();
        let rest = (data.len() as i64).checked_div(count(&given)?).filter(|_| open <= 1)?;
        Self::new(data, to.iter().map(|&d| if d == -1 { rest } else { d }).collect())
    }

    /// Axis `i` is axis `perm[i]` of this view; the reverse order where none is given.
    #[must_use]
    pub fn transposed(&self, perm: Option<&[i64]>) -> Option<Self> {
        let rank = self.dims.len() as i64;
        let perm = perm.map_or_else(|| (0..rank).rev().collect(), <[i64]>::to_vec);
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        let picked = |from: &[i64]| perm.iter().map(|&p| from[p as usize]).collect();
        sorted.into_iter().eq(0..rank).then(|| Self {
            dims: picked(&self.dims),
            strides: picked(&self.strides),
            ..self.clone()
        })
    }

    /// Repeated along axes that are missing or of size 1, to the dimensions `to`.
    #[must_use]
    pub fn expanded(&self, to: &[i64]) -> Option<Self> {
        let missing = to.len().checked_sub(self.dims.len())?;
        let mut strides = vec![0; missing];
        for ((&dim, &stride), &wanted) in self.dims.iter().zip(&self.strides).zip(&to[missing..]) {
            strides.push(if dim == wanted { stride } else { 0 });
            (dim == wanted || dim == 1).then_some(())?;
        }
        Some(Self { dims: to.to_vec(), strides, ..self.clone() })
    }

    /// As the operator Slice; `rest` are the axes and the steps, where they are given. None where
    /// nothing is left.
    #[must_use]
    pub fn sliced(&self, starts: &[i64], ends: &[i64], rest: &[Vec<i64>]) -> Option<Self> {
        let or = |index: usize, default: Vec<i64>| rest.get(index).cloned().unwrap_or(default);
        let axes = or(0, (0..starts.len() as i64).collect());
        let steps = or(1, vec![1; starts.len()]);
        let mut y = self.clone();
        for (i, &start) in starts.iter().enumerate() {
            let axis = place(*axes.get(i)?, self.dims.len())?;
            y.cut(axis, start, *ends.get(i)?, *steps.get(i)?)?;
        }
        Some(y)
    }

    /// One after another along an axis.
    #[must_use]
    pub fn concat(parts: &[Self], axis: i64) -> Option<Self> {
        let axis = place(axis, parts.first()?.dims.len())?;
        let mut dims = parts[0].dims.clone();
        dims[axis] = 0;
        let outer = count(&dims[..axis])? as usize;
        let mut lists = Vec::new();
        for part in parts {
            let fits = |(i, (a, b)): (usize, (&i64, &i64))| i == axis || a == b;
            let same =
                part.dims.len() == dims.len() && part.dims.iter().zip(&dims).enumerate().all(fits);
            dims[axis] += part.dims.get(axis).filter(|_| same)?;
            lists.push((part.elements()?, count(&part.dims[axis..])? as usize));
        }
        let rows = (0..outer)
            .flat_map(|o| lists.iter().filter_map(move |(l, n)| l.get(o * n..(o + 1) * n)));
        Self::new(rows.flatten().cloned().collect(), dims)
    }

    fn cut(&mut self, axis: usize, start: i64, end: i64, step: i64) -> Option<()> {
        let dim = self.dims[axis];
        let (least, most) = if step > 0 { (0, dim) } else { (-1, dim - 1) };
        let inside =
            |at: i64| if at < 0 { at.saturating_add(dim).max(least) } else { at.min(most) };
        let (start, end) = (inside(start), inside(end));
        let reach = if step > 0 { end - start } else { start - end };
        if reach <= 0 || start < 0 {
            return None;
        }
        self.dims[axis] = (reach - 1) / step.checked_abs().filter(|&s| s > 0)? + 1;
        self.start += start * self.strides[axis];
        self.strides[axis] = self.strides[axis].checked_mul(step)?;
        Some(())
    }
}

/// The number of elements of a tensor; none for dimensions that are no sizes.
#[must_use]
pub fn count(dims: &[i64]) -> Option<i64> {
    dims.iter().try_fold(1i64, |n, &d| n.checked_mul(d).filter(|_| d >= 0))
}

fn place(axis: i64, rank: usize) -> Option<usize> {
    let from_front = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(from_front).ok().filter(|&axis| axis < rank)
}
