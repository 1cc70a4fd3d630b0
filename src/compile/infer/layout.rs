//! Operators that rearrange elements: reshape, transpose, squeeze, expand, concatenate, pad.

use rten_shape_inference::ops;

use super::cx::{Cx, resolve, resolve_all};
use super::dim::{self, MOST_ELEMENTS, num, number, range};
use super::elementwise::shape_of;
use super::window::unknown;
use crate::error::{Error, Result};
use crate::graph::{Dim, Facts};

/// The shape whose dimensions are the elements of input `index`.
pub fn shape_from(cx: &mut Cx, index: usize) -> Facts {
    match (cx.values(index), cx.vector_len(index)) {
        (Some(dims), Some(_)) => Facts::from_shape(dims),
        (None, Some(rank)) => cx.fresh_shape(rank),
        _ => Facts::unknown("the shape is computed at run time"),
    }
}

/// Contents of `values` as a tensor of rank 0 or 1.
fn with_contents(values: &[Dim], rank: usize) -> Option<Facts> {
    match (rank, values) {
        (0, [value]) => Some(Facts::from_scalar(value.clone())),
        (1, _) => Some(Facts::from_vec(values.to_vec())),
        _ => None,
    }
}

/// `Reshape`: 0 copies a dimension, -1 takes what remains.
pub fn reshape(cx: &mut Cx) -> Result<Vec<Facts>> {
    let data = cx.dims(0)?;
    cx.require(1)?;
    let Some(target) = cx.values(1) else {
        return Ok(vec![match cx.vector_len(1) {
            Some(rank) => cx.fresh_shape(rank),
            None => Facts::unknown("the shape is computed at run time"),
        }]);
    };
    let keep_zero = cx.flag("allowzero", false)?;
    let mut dims = Vec::with_capacity(target.len());
    let mut rest = None;
    for (i, size) in target.iter().enumerate() {
        dims.push(match number(size) {
            Some(0) if !keep_zero => match &data {
                None => cx.fresh(),
                Some(data) => data.get(i).cloned().ok_or_else(|| {
                    Error::unreadable(format!("dimension {i} to copy is not there"))
                })?,
            },
            Some(-1) if rest.replace(i).is_none() => num(1),
            Some(n) if n < 0 => {
                return Err(Error::unreadable(format!("the shape {target:?} is no shape")));
            }
            None if range(size).0 < 0 => cx.fresh(),
            _ => size.clone(),
        });
    }
    let Some(data) = data else {
        if let Some(i) = rest {
            dims[i] = cx.fresh();
        }
        return Ok(vec![Facts::from_shape(dims)]);
    };
    if rest.is_some() && dims.iter().any(|dim| number(dim) == Some(0)) {
        return Err(Error::unreadable("a shape with a 0 leaves nothing for -1 to tell"));
    }
    match (dim::ratio(&data, &dims), rest) {
        (Some(Ok(size)), Some(i)) => dims[i] = size,
        (Some(Err(_)), Some(_)) => {
            return Err(Error::unreadable(format!(
                "{} elements do not divide by this shape",
                show(&data)
            )));
        }
        (None, Some(i)) => dims[i] = cx.fresh(),
        (_, None) => {
            if let (Some(from), Some(to)) = (dim::product(&data), dim::product(&dims))
                && let (Some(from), Some(to)) = (number(&from), number(&to))
                && from != to
            {
                return Err(Error::unreadable(format!(
                    "{from} elements cannot have this shape of {to}"
                )));
            }
        }
    }
    let known = cx.require(0)?.values().and_then(|values| with_contents(values, dims.len()));
    Ok(vec![known.unwrap_or_else(|| Facts::from_shape(dims))])
}

/// Dimensions as text.
pub fn show(dims: &[Dim]) -> String {
    format!("[{}]", dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

/// `Flatten` to two dimensions.
pub fn flatten(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(dims) = cx.dims(0)? else { return Ok(vec![cx.fresh_shape(2)]) };
    let axis = match cx.int("axis", 1)? {
        axis if axis == dims.len() as i64 => dims.len(),
        axis => resolve(axis, dims.len())?,
    };
    let (outer, inner) = dims.split_at(axis);
    let sides = [outer, inner].map(dim::product);
    Ok(vec![Facts::from_shape(sides.map(|d| d.unwrap_or_else(|| cx.fresh())).into())])
}

/// `Transpose`.
pub fn transpose(cx: &mut Cx) -> Result<Vec<Facts>> {
    let dims = cx.dims(0)?;
    let Some(perm) = cx.node.ints("perm")? else {
        return Ok(vec![match dims {
            Some(dims) => Facts::from_shape(dims.into_iter().rev().collect()),
            None => Facts::unknown("the input's shape is unknown"),
        }]);
    };
    let rank = dims.as_ref().map_or(perm.len(), Vec::len);
    let mut sorted = perm.to_vec();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank as i64) {
        return Err(Error::unreadable(format!(
            "'perm' {perm:?} does not permute {rank} dimensions"
        )));
    }
    Ok(vec![match dims {
        None if rank <= dim::MOST_DIMS => cx.fresh_shape(rank),
        None => Facts::unknown("the rank is beyond what is followed"),
        Some(dims) => Facts::from_shape(perm.iter().map(|&i| dims[i as usize].clone()).collect()),
    }])
}

/// `Squeeze`.
pub fn squeeze(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(dims) = cx.dims(0)? else { return unknown() };
    let axes = match (cx.has(1), cx.ints(1)) {
        (true, Some(axes)) => {
            axes.iter().map(|&axis| resolve(axis, dims.len())).collect::<Result<Vec<_>>>()?
        }
        (true, None) => return unknown(),
        (false, _) if dims.iter().all(|d| number(d).is_some()) => {
            (0..dims.len()).filter(|&i| number(&dims[i]) == Some(1)).collect()
        }
        (false, _) => return unknown(),
    };
    if let Some(&axis) = axes.iter().find(|&&i| number(&dims[i]).is_some_and(|n| n != 1)) {
        return Err(Error::unreadable(format!("axis {axis} to squeeze has size {}", dims[axis])));
    }
    let left: Vec<_> =
        dims.into_iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| d).collect();
    let known = cx.require(0)?.values().and_then(|values| with_contents(values, left.len()));
    Ok(vec![known.unwrap_or_else(|| Facts::from_shape(left))])
}

/// `Unsqueeze`.
pub fn unsqueeze(cx: &mut Cx) -> Result<Vec<Facts>> {
    cx.require(1)?;
    let Some(mut dims) = cx.dims(0)? else { return unknown() };
    let Some(axes) = cx.ints(1) else {
        return Ok(vec![match cx.vector_len(1) {
            Some(more) => cx.fresh_shape(dims.len() + more),
            None => Facts::unknown("the axes are computed at run time"),
        }]);
    };
    for axis in resolve_all(&axes, dims.len() + axes.len())? {
        dims.insert(axis, num(1));
    }
    let known = cx.require(0)?.values().and_then(|values| with_contents(values, dims.len()));
    Ok(vec![known.unwrap_or_else(|| Facts::from_shape(dims))])
}

/// `Expand`: broadcast to the shape of input 1.
pub fn expand(cx: &mut Cx) -> Result<Vec<Facts>> {
    cx.require(1)?;
    let Some(dims) = cx.dims(0)? else { return unknown() };
    let Some(target) = cx.values(1) else {
        let Some(rank) = cx.vector_len(1).map(|len| len.max(dims.len())) else { return unknown() };
        // Only a known dimension above 1 stays what it is.
        let lead = rank - dims.len();
        let kept = |i: usize| dims.get(i.checked_sub(lead)?).filter(|d| number(d) > Some(1));
        let out = (0..rank).map(|i| kept(i).cloned().unwrap_or_else(|| cx.fresh()));
        return Ok(vec![Facts::from_shape(out.collect())]);
    };
    let dims = cx.broadcast(dims, target)?;
    let known = match (cx.require(0)?.values(), &dims[..]) {
        (Some([value]), [len]) => number(len)
            .and_then(|n| usize::try_from(n).ok())
            .filter(|&n| n <= MOST_ELEMENTS)
            .map(|n| Facts::from_vec(vec![value.clone(); n])),
        _ => None,
    };
    Ok(vec![known.unwrap_or_else(|| Facts::from_shape(dims))])
}

/// `Concat`.
pub fn concat(cx: &mut Cx) -> Result<Vec<Facts>> {
    let count = cx.node.inputs.len();
    let shapes = (0..count).map(|i| cx.dims(i)).collect::<Result<Vec<_>>>()?;
    let Some(first) = shapes.iter().flatten().next() else { return unknown() };
    let axis = cx.axis("axis", 0, first.len())?;
    let mut dims = first.clone();
    dims[axis] = num(0);
    for shape in &shapes {
        let Some(shape) = shape else {
            dims[axis] = cx.fresh();
            continue;
        };
        if shape.len() != dims.len() {
            return Err(Error::unreadable("the inputs have different ranks"));
        }
        for (i, (dim, other)) in dims.iter_mut().zip(shape).enumerate() {
            *dim = match i == axis {
                true => cx.tidy(dim.clone() + other.clone()),
                false => dim::unify(dim, other).ok_or_else(|| {
                    Error::unreadable(format!(
                        "the inputs differ in dimension {i}: {dim} and {other}"
                    ))
                })?,
            };
        }
    }
    if shapes.iter().any(Option::is_none) {
        dims[axis] = cx.fresh();
    }
    let values: Option<Vec<_>> = (0..count).map(|i| cx.facts(i)?.as_vector()).collect();
    Ok(vec![match values {
        Some(values) => Facts::from_vec(values.concat()),
        None => Facts::from_shape(dims),
    }])
}

/// `Split`, in equal parts with a smaller last one, or in the sizes of input 1.
pub fn split(cx: &mut Cx) -> Result<Vec<Facts>> {
    let parts = cx.node.outputs.len();
    let Some(dims) = cx.dims(0)? else { return Ok(vec![]) };
    let axis = cx.axis("axis", 0, dims.len())?;
    let size = &dims[axis];
    let sizes: Vec<Dim> = if cx.has(1) {
        match cx.values(1) {
            Some(sizes) => sizes,
            None => cx.symbols.gen_shape(parts),
        }
    } else {
        let count = cx.int("num_outputs", parts as i64)?;
        if count < 1 || count != parts as i64 {
            return Err(Error::unreadable(format!("{count} parts for {parts} outputs")));
        }
        let part = cx.tidy(size.div_ceil(&num(count)));
        let last = cx.tidy(size.clone() - part.clone() * num(count - 1));
        let mut sizes = vec![part; parts - 1];
        sizes.push(last);
        sizes
    };
    let total =
        dim::numbers(&sizes).and_then(|list| list.iter().try_fold(0i64, |a, &b| a.checked_add(b)));
    let fits = match (total, number(size)) {
        (Some(total), Some(size)) => total == size,
        _ => true,
    };
    if sizes.len() != parts || !fits || sizes.iter().any(|d| number(d).is_some_and(|n| n < 0)) {
        return Err(Error::unreadable(format!(
            "{size} cannot be split into {} for {parts} outputs",
            show(&sizes)
        )));
    }
    let values = cx.require(0)?.as_vector();
    let mut start = Some(0usize);
    let mut out = Vec::with_capacity(parts);
    for size in sizes {
        let end = start.and_then(|s| s.checked_add(usize::try_from(number(&size)?).ok()?));
        let known = values.and_then(|v| v.get(start?..end?));
        out.push(match known {
            Some(values) => Facts::from_vec(values.to_vec()),
            None => {
                let mut shape = dims.clone();
                shape[axis] = size;
                Facts::from_shape(shape)
            }
        });
        start = end;
    }
    Ok(out)
}

/// `Tile`.
pub fn tile(cx: &mut Cx) -> Result<Vec<Facts>> {
    cx.apply(ops::Tile, &[0, 1])
}

/// `Shape` between `start` and `end`.
pub fn shape(cx: &mut Cx) -> Result<Vec<Facts>> {
    let clamp = |n: i64| n.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
    let [start, end] = ["start", "end"].map(|name| cx.node.int(name));
    let op = ops::Shape { start: start?.map(clamp), end: end?.map(clamp) };
    match cx.dims(0)? {
        Some(_) => cx.apply(op, &[0]),
        None => Ok(vec![Facts::from_shape(vec![cx.fresh()])]),
    }
}

/// `Size`.
pub fn size(cx: &mut Cx) -> Result<Vec<Facts>> {
    let count = cx.dims(0)?.and_then(|dims| dim::product(&dims));
    Ok(vec![Facts::from_scalar(count.unwrap_or_else(|| cx.fresh()))])
}

/// `DepthToSpace` and, with `down`, `SpaceToDepth`.
pub fn depth_to_space(cx: &mut Cx, down: bool) -> Result<Vec<Facts>> {
    let block = cx.int("blocksize", 0)?;
    if !(1..=i64::from(i16::MAX)).contains(&block) {
        return Err(Error::unreadable(format!("'blocksize' is {block}")));
    }
    let Some(dims) = cx.dims(0)? else { return Ok(vec![cx.fresh_shape(4)]) };
    let [n, c, h, w] = &dims[..] else {
        return Err(Error::unreadable(format!("the input has rank {}, 4 is needed", dims.len())));
    };
    let (c, h, w) = (c.clone(), h.clone(), w.clone());
    let (side, area) = (num(block), num(block * block));
    let whole = |dim: &Dim, by: i64| number(dim).is_none_or(|n| n % by == 0);
    let divides = match down {
        true => whole(&h, block) && whole(&w, block),
        false => whole(&c, block * block),
    };
    if !divides {
        return Err(Error::unreadable(format!(
            "{} does not divide by blocks of {block}",
            show(&dims)
        )));
    }
    Ok(vec![Facts::from_shape(match down {
        true => vec![n.clone(), c * area, h / side.clone(), w / side],
        false => vec![n.clone(), c / area, h * side.clone(), w * side],
    })])
}

/// `CenterCropPad`: the sizes of input 1 along `axes`.
pub fn center_crop_pad(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(mut dims) = cx.dims(0)? else { return unknown() };
    let axes = match cx.node.ints("axes")? {
        Some(axes) => axes.iter().map(|&a| resolve(a, dims.len())).collect::<Result<Vec<_>>>()?,
        None => (0..dims.len()).collect(),
    };
    let sizes = cx.values(1).unwrap_or_else(|| cx.symbols.gen_shape(axes.len()));
    if sizes.len() != axes.len() {
        return Err(Error::unreadable(format!("{} sizes for {} axes", sizes.len(), axes.len())));
    }
    for (axis, size) in axes.into_iter().zip(sizes) {
        dims[axis] = size;
    }
    Ok(vec![Facts::from_shape(dims)])
}

/// The shape of input `index`, contents unknown.
pub fn like(cx: &Cx, index: usize) -> Result<Facts> {
    Ok(shape_of(cx.require(index)?))
}
