//! Operators that keep every element and move it elsewhere, or copy it.

use super::Inputs::First;
use super::{Entry, Rule};
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("Identity", First, identity),
    Entry::exact("Dropout", First, dropout),
    Entry::exact("Cast", First, cast),
    Entry::exact("Flatten", First, reshape),
    Entry::exact("Reshape", First, reshape),
    Entry::exact("Squeeze", First, reshape),
    Entry::exact("Unsqueeze", First, reshape),
    Entry::exact("Transpose", First, transpose),
    Entry::exact("Expand", First, expand),
    Entry::exact("DepthToSpace", First, depth_to_space),
    Entry::exact("SpaceToDepth", First, space_to_depth),
    Entry::zero("EyeLike"),
    Entry::zero("RandomNormalLike"),
    Entry::zero("RandomUniformLike"),
];

fn identity(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    cx.emit(0, cx.dx(0)?);
    Ok(())
}

fn dropout(cx: &Rule) -> Result<()> {
    if cx.node.input(2).is_some() && cx.raw(2)?.as_ints().is_none_or(|training| training != [0]) {
        return cx.refuse("Dropout in training mode draws random numbers");
    }
    identity(cx)
}

fn cast(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    cx.emit(0, cx.dx(0)?.cast(cx.y(0)?.dtype()));
    Ok(())
}

fn reshape(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    cx.emit(0, cx.dx(0)?.reshape(&cx.y_dims(0)?));
    Ok(())
}

fn transpose(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let dx = cx.dx(0)?;
    let rank = dx.rank();
    let perm = match cx.node.ints("perm")? {
        None => (0..rank).rev().collect(),
        Some(perm) => perm.iter().map(|&p| cx.axis(p, rank)).collect::<Result<Vec<_>>>()?,
    };
    let mut seen = perm.clone();
    seen.sort_unstable();
    if !seen.into_iter().eq(0..rank) {
        return Err(Error::unreadable(format!("attribute 'perm' is {perm:?} for rank {rank}")));
    }
    cx.emit(0, dx.transpose(&perm));
    Ok(())
}

/// Expand. Where only the run tells whether an axis is repeated, element `i` of it is element
/// `min(i, n − 1)`.
fn expand(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (mut dx, y_dims) = (cx.dx(0)?, cx.y_dims(0)?);
    let new = y_dims.len().saturating_sub(dx.rank());
    for (axis, to) in y_dims[new..].iter().enumerate() {
        let mut dims = dx.dims();
        if dims[axis] != *to && fixed(&dims[axis]) != Some(1) {
            let last = cx.e.extent(&dims[axis]) - cx.e.int(1);
            let indices = cx.e.range(to).binary("Min", last);
            dims[axis] = to.clone();
            dx = dx.gather(axis, indices.id, dims);
        }
    }
    cx.emit(0, dx.broadcast(&y_dims));
    Ok(())
}

/// DepthToSpace: the channels of a pixel become a block of pixels; in mode DCR the block's position
/// is the slow part of the channel number, in mode CRD the fast part.
fn depth_to_space(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (dx, b) = (cx.dx(0)?, block(cx)?);
    let d = image(cx)?;
    let depth = (d[1].clone() / Dim::Value(b * b)).simplify();
    let (n, h, w, b) = (d[0].clone(), d[2].clone(), d[3].clone(), Dim::Value(b));
    let (split, perm) = match cx.node.text("mode")?.unwrap_or("DCR") {
        "DCR" => ([n, b.clone(), b, depth, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([n, depth, b.clone(), b, h, w], [0, 1, 4, 2, 5, 3]),
        other => return Err(Error::unreadable(format!("attribute 'mode' is '{other}'"))),
    };
    cx.emit(0, dx.reshape(&split).transpose(&perm).reshape(&cx.y_dims(0)?));
    Ok(())
}

/// SpaceToDepth: a block of pixels becomes the channels of a pixel; in mode DCR the position is the
/// slow part of the channel number, in mode CRD the fast part.
fn space_to_depth(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (dx, b) = (cx.dx(0)?, block(cx)?);
    let d = image(cx)?;
    let part = |d: &Dim| (d.clone() / Dim::Value(b)).simplify();
    let b_dim = Dim::Value(b);
    let split = [d[0].clone(), d[1].clone(), part(&d[2]), b_dim.clone(), part(&d[3]), b_dim];
    let perm = match cx.node.text("mode")?.unwrap_or("DCR") {
        "DCR" => [0, 3, 5, 1, 2, 4],
        "CRD" => [0, 1, 3, 5, 2, 4],
        other => return Err(Error::unreadable(format!("attribute 'mode' is '{other}'"))),
    };
    cx.emit(0, dx.reshape(&split).transpose(&perm).reshape(&cx.y_dims(0)?));
    Ok(())
}

fn block(cx: &Rule) -> Result<i32> {
    let size = cx.node.int("blocksize")?.unwrap_or(0);
    i32::try_from(size)
        .ok()
        .filter(|b| (1..=1 << 12).contains(b))
        .ok_or_else(|| Error::unreadable(format!("attribute 'blocksize' is {size}")))
}

fn image(cx: &Rule) -> Result<Vec<Dim>> {
    let dims = cx.raw(0)?.dims();
    if dims.len() == 4 {
        return Ok(dims);
    }
    Err(Error::unreadable(format!("an input of rank {}, where 4 is required", dims.len())))
}

#[cfg(test)]
mod tests;
