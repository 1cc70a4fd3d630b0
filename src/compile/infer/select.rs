//! Operators that pick elements: slices, gathers, top values, resizing; and generators.

use rten_shape_inference::ops;

use super::cx::{Cx, resolve};
use super::dim::{self, MOST_ELEMENTS, num, number, range};
use super::window::unknown;
use crate::error::{Error, Result};
use crate::graph::{Attr, DataType, Dim, Facts};

/// `Slice`.
pub fn slice(cx: &mut Cx) -> Result<Vec<Facts>> {
    cx.require(1)?;
    cx.require(2)?;
    let Some(mut dims) = cx.dims(0)? else { return unknown() };
    let (starts, ends) = (cx.values(1), cx.values(2));
    let count = [&starts, &ends].into_iter().flatten().map(Vec::len).next().or(cx.vector_len(1));
    let axes = match (cx.has(3), cx.ints(3)) {
        (false, _) => Some((0..count.unwrap_or(dims.len()) as i64).collect()),
        (true, axes) => axes,
    };
    let Some(axes) = axes else { return Ok(vec![cx.fresh_shape(dims.len())]) };
    let steps = if cx.has(4) { cx.values(4) } else { Some(vec![num(1); axes.len()]) };
    for list in [&starts, &ends, &steps].into_iter().flatten() {
        if list.len() != axes.len() {
            return Err(Error::unreadable(format!(
                "{} entries for {} axes",
                list.len(),
                axes.len()
            )));
        }
    }
    let mut values = cx.require(0)?.as_vector().map(<[Dim]>::to_vec);
    for (i, &axis) in axes.iter().enumerate() {
        let axis = resolve(axis, dims.len())?;
        let (Some(starts), Some(ends), Some(steps)) = (&starts, &ends, &steps) else {
            dims[axis] = cx.fresh();
            values = None;
            continue;
        };
        let (start, end, step) = (&starts[i], &ends[i], number(&steps[i]));
        if step == Some(0) {
            return Err(Error::unreadable("a step is 0"));
        }
        // Backwards to the greatest number: empty by the standard, the whole by ONNX Runtime.
        let disputed = step.is_some_and(|n| n < 0)
            && number(end).is_some_and(|n| n == i64::MAX || n == i64::from(i32::MAX));
        let step = step.filter(|_| !disputed);
        let indices =
            step.and_then(|step| indices(number(&dims[axis])?, number(start)?, number(end)?, step));
        values = values.zip(indices).map(|(values, indices)| {
            indices.into_iter().filter_map(|i| values.get(i).cloned()).collect()
        });
        let length = match (&dims[axis], number(&dims[axis]), number(start), number(end), step) {
            (_, Some(size), Some(start), Some(end), Some(step)) => {
                num(bounds(size, start, end, step).2)
            }
            (size, _, _, _, Some(step)) => {
                sliced(size, start, end, step).unwrap_or_else(|| cx.symbols.gen_positive())
            }
            _ => cx.fresh(),
        };
        dims[axis] = cx.tidy(length);
    }
    Ok(vec![values.map_or_else(|| Facts::from_shape(dims), Facts::from_vec)])
}

/// First index, index past the last, and number of elements of a slice over `size` elements.
fn bounds(size: i64, start: i64, end: i64, step: i64) -> (i64, i64, i64) {
    let from_front = |n: i64| if n < 0 { n.saturating_add(size) } else { n };
    let (low, high) = if step < 0 { (-1, size - 1) } else { (0, size) };
    let first = from_front(start).clamp(low.max(0).min(high), high.max(low));
    let past = from_front(end).clamp(low, high.max(low));
    let span = if step < 0 { first - past } else { past - first };
    let stride = step.unsigned_abs();
    let count = u64::try_from(span).unwrap_or(0).div_ceil(stride);
    (first, past, count as i64)
}

/// The indices of a short slice.
fn indices(size: i64, start: i64, end: i64, step: i64) -> Option<Vec<usize>> {
    let (first, _, count) = bounds(size, start, end, step);
    if count > MOST_ELEMENTS as i64 {
        return None;
    }
    (0..count).map(|i| usize::try_from(first.checked_add(i.checked_mul(step)?)?).ok()).collect()
}

/// The number of elements of a slice where the size or a bound is symbolic.
fn sliced(size: &Dim, start: &Dim, end: &Dim, step: i64) -> Option<Dim> {
    const FAR: i64 = i32::MAX as i64;
    // A bound counted from the front and held inside of the axis.
    let inside = |bound: &Dim| -> Option<Dim> {
        Some(match (number(bound), range(bound)) {
            (Some(0), _) => num(0),
            (Some(n), _) if n >= FAR => size.clone(),
            (Some(n), _) if n <= -FAR => num(0),
            (None, _) if bound == size => size.clone(),
            (_, (0.., _)) => bound.min(size),
            (_, (_, ..=-1)) => (size.clone() + bound.clone()).max(&num(0)),
            _ => return None,
        })
    };
    if step < 0 {
        let whole = matches!(number(start), Some(n) if n == -1 || n >= FAR)
            && matches!(number(end), Some(n) if n <= -FAR);
        return whole.then(|| size.div_ceil(&num(step.saturating_neg())));
    }
    let span = match (number(start), number(end)) {
        // From the front or the back on, or the part between two fixed bounds.
        (Some(a @ ..0), Some(b)) if b >= FAR && a > -FAR => size.min(&num(-a)),
        (Some(a @ 0..), Some(b @ 0..)) if a < FAR && b < FAR => {
            (size.min(&num(b)) - num(a)).max(&num(0))
        }
        (Some(a @ 1..), Some(b)) if b >= FAR => (size.clone() - num(a)).max(&num(0)),
        (Some(a @ 0..), Some(b @ ..0)) if a < FAR && b > -FAR => {
            (size.clone() + num(b.saturating_sub(a))).max(&num(0))
        }
        (Some(a @ ..0), Some(b @ ..0)) if a > -FAR && b > -FAR => {
            let end = (size.clone() + num(b)).max(&num(0));
            let start = (size.clone() + num(a)).max(&num(0));
            (end - start).max(&num(0))
        }
        _ => {
            let (start, end) = (inside(start)?, inside(end)?);
            match number(&start) {
                Some(0) => end,
                _ => (end - start).max(&num(0)),
            }
        }
    };
    Some(span.div_ceil(&num(step)))
}

/// `Gather`.
pub fn gather(cx: &mut Cx) -> Result<Vec<Facts>> {
    let axis = cx.int("axis", 0)?;
    if let Some(dims) = cx.dims(0)? {
        resolve(axis, dims.len())?;
    }
    cx.apply(ops::Gather { axis: axis as i32 }, &[0, 1])
}

/// `GatherND`.
pub fn gather_nd(cx: &mut Cx) -> Result<Vec<Facts>> {
    let batch = cx.int("batch_dims", 0)?;
    let batch_dims = usize::try_from(batch)
        .ok()
        .filter(|&n| n <= dim::MOST_DIMS)
        .ok_or_else(|| Error::unreadable(format!("'batch_dims' is {batch}")))?;
    match cx.dims(1)? {
        Some(dims) if dims.last().and_then(number).is_some_and(|n| n > dim::MOST_DIMS as i64) => {
            Err(Error::unreadable("the index tuples are longer than any rank"))
        }
        _ => cx.apply(ops::GatherND { batch_dims }, &[0, 1]),
    }
}

/// `TopK`.
pub fn top_k(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(mut dims) = cx.dims(0)? else {
        return Ok(vec![Facts::unknown("the input's shape is unknown"); 2]);
    };
    let axis = cx.axis("axis", -1, dims.len())?;
    let k = match cx.values(1).as_deref() {
        Some([k]) => k.clone(),
        _ => cx.fresh(),
    };
    if let (Some(k), Some(size)) = (number(&k), number(&dims[axis]))
        && !(0..=size).contains(&k)
    {
        return Err(Error::unreadable(format!("the {k} largest of {size} are asked for")));
    }
    dims[axis] = k;
    Ok(vec![Facts::from_shape(dims); 2])
}

/// `OneHot`.
pub fn one_hot(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(mut dims) = cx.dims(0)? else { return unknown() };
    let axis = cx.axis("axis", -1, dims.len() + 1)?;
    let constant = cx.floats(1).and_then(|list| list.first().map(|&n| num(n as i64)));
    let depth = match (cx.values(1).as_deref(), constant) {
        (Some([depth]), _) => depth.clone(),
        (_, Some(depth)) => depth,
        _ => cx.fresh(),
    };
    dims.insert(axis, depth);
    Ok(vec![Facts::from_shape(dims)])
}

/// `Compress`: how many are kept depends on the condition.
pub fn compress(cx: &mut Cx) -> Result<Vec<Facts>> {
    let kept = match cx.ints(1) {
        Some(condition) => num(condition.iter().filter(|&&holds| holds != 0).count() as i64),
        None => cx.fresh(),
    };
    if cx.node.int("axis")?.is_none() {
        return Ok(vec![Facts::from_shape(vec![kept])]);
    }
    let Some(mut dims) = cx.dims(0)? else { return unknown() };
    let axis = cx.axis("axis", 0, dims.len())?;
    dims[axis] = kept;
    Ok(vec![Facts::from_shape(dims)])
}

/// `Unique`: how many there are depends on the data.
pub fn unique(cx: &mut Cx) -> Result<Vec<Facts>> {
    let dims = cx.dims(0)?;
    let count = cx.fresh();
    let vector = |dim: Dim| Facts::from_shape(vec![dim]);
    let (found, of) = match (cx.node.int("axis")?, dims) {
        (None, dims) => (
            vector(count.clone()),
            dims.and_then(|dims| dim::product(&dims)).unwrap_or_else(|| cx.fresh()),
        ),
        (Some(axis), Some(mut dims)) => {
            let axis = resolve(axis, dims.len())?;
            let of = std::mem::replace(&mut dims[axis], count.clone());
            (Facts::from_shape(dims), of)
        }
        (Some(_), None) => (Facts::unknown("the input's shape is unknown"), cx.fresh()),
    };
    Ok(vec![found, vector(count.clone()), vector(of), vector(count)])
}

/// `Range`.
pub fn arange(cx: &mut Cx) -> Result<Vec<Facts>> {
    let bounds = [0, 1, 2].map(|i| cx.values(i));
    if bounds.iter().flatten().any(|list| list.len() != 1) {
        return Err(Error::unreadable("a bound is no scalar"));
    }
    if let [Some(a), Some(b), Some(c)] = [0, 1, 2].map(|i| cx.floats(i)?.first().copied()) {
        let count = ((b - a) / c).ceil().max(0.0);
        if c == 0.0 || !count.is_finite() {
            return Err(Error::unreadable(format!("there is no range from {a} to {b} by {c}")));
        }
        return Ok(vec![Facts::from_shape(vec![num(count as i64)])]);
    }
    let facts = cx.apply(ops::Range, &[0, 1, 2])?;
    Ok(facts
        .into_iter()
        .map(|facts| match (facts.values(), facts.size(0)) {
            (None, Some(len)) => Facts::from_shape(vec![len.max(&num(0))]),
            _ => facts,
        })
        .collect())
}

/// `ConstantOfShape`.
pub fn constant_of_shape(cx: &mut Cx) -> Result<Vec<Facts>> {
    let facts = super::layout::shape_from(cx, 0);
    let value = match cx.node.attr("value") {
        Some(Attr::Tensor(tensor))
            if matches!(tensor.dtype, DataType::I64 | DataType::I32 | DataType::Bool) =>
        {
            tensor.to_ints().ok().and_then(|list| list.first().map(|&n| num(n)))
        }
        _ => None,
    };
    let dims: Option<Vec<Dim>> = facts.shape().map(Iterator::collect);
    let known = match (value, dims.as_deref()) {
        (Some(value), Some([])) => Some(Facts::from_scalar(value)),
        (Some(value), Some([len])) => number(len)
            .and_then(|n| usize::try_from(n).ok())
            .filter(|&n| n <= MOST_ELEMENTS)
            .map(|n| Facts::from_vec(vec![value; n])),
        _ => None,
    };
    Ok(vec![known.unwrap_or(facts)])
}

/// `Resize`, by sizes or scales, along `axes` or all.
pub fn resize(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(mut dims) = cx.dims(0)? else { return unknown() };
    let axes = match cx.node.ints("axes")? {
        Some(axes) => axes.iter().map(|&a| resolve(a, dims.len())).collect::<Result<Vec<_>>>()?,
        None => (0..dims.len()).collect(),
    };
    let by_size = cx.has(3) && cx.vector_len(3) != Some(0);
    let new: Vec<Dim> = match by_size {
        true => by_sizes(cx, &dims, &axes)?,
        false => by_scales(cx, &dims, &axes)?,
    };
    if new.len() != axes.len() {
        return Err(Error::unreadable(format!(
            "{} sizes or scales for {} axes",
            new.len(),
            axes.len()
        )));
    }
    for (axis, dim) in axes.into_iter().zip(new) {
        dims[axis] = dim;
    }
    Ok(vec![Facts::from_shape(dims)])
}

fn by_sizes(cx: &mut Cx, dims: &[Dim], axes: &[usize]) -> Result<Vec<Dim>> {
    let fresh = |cx: &mut Cx| cx.symbols.gen_shape(axes.len());
    let policy = cx.node.text("keep_aspect_ratio_policy")?.unwrap_or("stretch");
    let Some(sizes) = cx.values(3) else { return Ok(fresh(cx)) };
    if policy == "stretch" {
        return Ok(sizes);
    }
    let pairs: Option<Vec<_>> = axes
        .iter()
        .zip(&sizes)
        .map(|(&axis, size)| Some((number(&dims[axis])?, number(size)?)))
        .collect();
    let Some(pairs) = pairs else { return Ok(fresh(cx)) };
    let scales = pairs.iter().map(|&(from, to)| to as f32 / from as f32);
    let scale = match policy {
        "not_larger" => scales.fold(f32::INFINITY, f32::min),
        "not_smaller" => scales.fold(0.0, f32::max),
        other => {
            return Err(Error::unreadable(format!("'keep_aspect_ratio_policy' is {other:?}")));
        }
    };
    Ok(pairs.iter().map(|&(from, _)| num((scale * from as f32).round() as i64)).collect())
}

fn by_scales(cx: &mut Cx, dims: &[Dim], axes: &[usize]) -> Result<Vec<Dim>> {
    let Some(scales) = cx.floats(2) else {
        return Ok(cx.symbols.gen_shape(axes.len()));
    };
    if scales.len() != axes.len() || scales.iter().any(|&s| s.is_nan() || s <= 0.0) {
        return Err(Error::unreadable(format!(
            "the scales are {scales:?} for {} axes",
            axes.len()
        )));
    }
    Ok(axes.iter().zip(&scales).map(|(&axis, &scale)| scaled(cx, &dims[axis], scale)).collect())
}

/// The size of an axis scaled and rounded down, in the float32 arithmetic of the runtimes.
fn scaled(cx: &mut Cx, dim: &Dim, scale: f64) -> Dim {
    const PARTS: f64 = 1024.0;
    match number(dim) {
        Some(n) => num((n as f32 * scale as f32) as i64),
        None if scale == 1.0 => dim.clone(),
        None if scale < PARTS && (scale * PARTS).fract() == 0.0 => {
            let (above, below) = ([dim.clone(), num((scale * PARTS) as i64)], [num(PARTS as i64)]);
            match dim::ratio(&above, &below) {
                Some(Ok(dim)) => dim,
                _ => cx.fresh(),
            }
        }
        None => cx.fresh(),
    }
}

/// `Constant`.
pub fn constant(cx: &mut Cx) -> Result<Vec<Facts>> {
    let list = |len: usize| Facts::from_shape(vec![num(len as i64)]);
    Ok(cx
        .node
        .attributes
        .iter()
        .filter_map(|attribute| match &attribute.value {
            Attr::Tensor(tensor) => Some(super::of_tensor(tensor)),
            Attr::Int(n) => Some(Facts::from_scalar(num(*n))),
            Attr::Ints(list) => Some(Facts::from_vec(list.iter().map(|&n| num(n)).collect())),
            Attr::Float(_) | Attr::String(_) => Some(Facts::from_shape(vec![])),
            Attr::Floats(values) => Some(list(values.len())),
            Attr::Strings(values) => Some(list(values.len())),
            _ => None,
        })
        .take(1)
        .collect())
}
