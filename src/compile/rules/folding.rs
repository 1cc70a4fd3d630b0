//! `Col2Im`: each entry of a column is added to the pixel that it was read from, or left out where
//! that is padding.

use super::Inputs::First;
use super::window::explicit;
use super::{Entry, Rule};
use crate::compile::linear as step;
use crate::compile::linear::Geometry;
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

pub(super) const RULES: &[Entry] = &[Entry::exact("Col2Im", First, col2im)];

/// The most entries whose pixels are written into the model.
const MOST_ENTRIES: i64 = 1 << 28;

fn col2im(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (e, dx, y_dims) = (cx.e, cx.dx(0)?, cx.y_dims(0)?);
    let (Some(image), Some(block)) = (cx.known(1)?, cx.known(2)?) else {
        return cx.refuse("the size of the image or of its blocks is only known at run time");
    };
    let dims = dx.dims();
    let sizes: Vec<i64> = image.iter().chain(&block).copied().collect();
    let small = sizes.iter().all(|&n| (1..=i64::from(i32::MAX)).contains(&n));
    let fits = image.len() == block.len() && y_dims.len() == image.len() + 2;
    let ([n, entries, count], true, true) = (&dims[..], small, fits) else {
        let what = format!("columns {dims:?}, an image {image:?} and blocks {block:?}");
        return Err(Error::unreadable(what));
    };
    let (Some(entries), Some(count)) = (fixed(entries), fixed(count)) else {
        return cx.refuse("the number of columns or of their entries is only known at run time");
    };
    let block_size = block.iter().try_fold(1i64, |n, &size| n.checked_mul(size));
    let Some(block_size) = block_size.filter(|&size| entries % size == 0) else {
        return Err(Error::unreadable(format!("columns of {entries} entries of blocks {block:?}")));
    };
    if block_size.saturating_mul(count) > MOST_ENTRIES {
        return cx
            .refuse(format!("{count} blocks of {block_size} entries, more than {MOST_ENTRIES}"));
    }
    let windows = explicit(cx, block)?;
    let axes = image.iter().enumerate().map(|(axis, &size)| Axis::read(&windows, axis, size));
    let axes = axes.collect::<Result<Vec<_>>>()?;
    let found = axes.iter().try_fold(1i64, |n, axis| n.checked_mul(axis.windows));
    if found != Some(count) {
        return Err(Error::unreadable(format!("{count} columns, where the image has {found:?}")));
    }
    let pixels = e.product(&y_dims[2..]);
    e.check()?;
    let places = places(&axes);
    let entries = Dim::Value(i32::try_from(places.len()).unwrap_or(0));
    let folded = [n.clone(), y_dims[1].clone(), entries];
    let spare = (pixels.clone() + Dim::Value(1)).simplify();
    let map = step::ScatterElements { axis: 2, indices: e.ints(&places).expand(&folded).id };
    let sums = cx.step(map, dx.reshape(&folded), &[n.clone(), y_dims[1].clone(), spare]);
    cx.emit(0, sums.window(2, Dim::Value(0), pixels).reshape(&y_dims));
    Ok(())
}

/// One axis of the image.
struct Axis {
    size: i64,
    block: i64,
    windows: i64,
    stride: i64,
    dilation: i64,
    begin: i64,
}

impl Axis {
    fn read(all: &Geometry, axis: usize, size: i64) -> Result<Self> {
        let (begin, end, block) = (all.begin[axis], all.end[axis], all.kernel[axis]);
        let room = begin.checked_add(end).and_then(|pads| pads.checked_add(size));
        let room = room.filter(|_| begin >= 0 && end >= 0);
        let reach = (block - 1).checked_mul(all.dilations[axis]).and_then(|n| n.checked_add(1));
        let room = room.zip(reach).map(|(room, reach)| room.saturating_sub(reach));
        let Some(room) = room.filter(|&room| room >= 0) else {
            return Err(Error::unreadable(format!("a block does not fit into axis {axis}")));
        };
        let (stride, dilation) = (all.strides[axis], all.dilations[axis]);
        Ok(Self { size, block, windows: room / stride + 1, stride, dilation, begin })
    }
}

/// The pixel of each entry, elements of a block before the blocks; one behind the last pixel for those
/// of the padding.
fn places(axes: &[Axis]) -> Vec<i64> {
    let pixels: i64 = axes.iter().map(|axis| axis.size).product();
    let elements = tuples(axes.iter().map(|axis| axis.block));
    let windows = tuples(axes.iter().map(|axis| axis.windows));
    let pixel = |element: &[i64], window: &[i64]| {
        axes.iter().zip(element.iter().zip(window)).try_fold(0, |flat, (axis, (k, l))| {
            let place = l * axis.stride + k * axis.dilation - axis.begin;
            (0..axis.size).contains(&place).then_some(flat * axis.size + place)
        })
    };
    let of = |element: &Vec<i64>| {
        windows.iter().map(|window| pixel(element, window).unwrap_or(pixels)).collect::<Vec<_>>()
    };
    elements.iter().flat_map(of).collect()
}

/// All places in a tensor of these sizes, in row-major order.
fn tuples(sizes: impl Iterator<Item = i64>) -> Vec<Vec<i64>> {
    sizes.fold(vec![Vec::new()], |tuples, size| {
        let with = |tuple: &Vec<i64>| {
            let tuple = tuple.clone();
            (0..size).map(move |place| [&tuple[..], &[place]].concat())
        };
        tuples.iter().flat_map(with).collect()
    })
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, case};

    fn columns(image: &[i64], block: &[i64], windows: i64) -> Case {
        let entries = 2 * block.iter().product::<i64>();
        let it = case("Col2Im").reference().input("x", &[2, entries, windows]);
        it.ints_input("image", image).ints_input("block", block)
    }

    #[test]
    fn every_window() {
        for (stride, dilation) in [([1, 1], [1, 1]), ([2, 1], [1, 2]), ([1, 2], [2, 1])] {
            for pads in [[0, 0, 0, 0], [1, 0, 0, 1], [0, 1, 2, 0]] {
                for block in [[2, 2], [1, 2], [2, 1]] {
                    let count = |axis: usize| {
                        let room = [5, 4][axis] + pads[axis] + pads[axis + 2];
                        (room - (block[axis] - 1) * dilation[axis] - 1) / stride[axis] + 1
                    };
                    let it = columns(&[5, 4], &block, count(0) * count(1));
                    let it = it.ints("strides", &stride).ints("dilations", &dilation);
                    it.ints("pads", &pads).check();
                }
            }
        }
        columns(&[2, 3, 2], &[1, 2, 2], 4).check();
        columns(&[5, 4], &[2, 2], 12).f32().ort().check();
    }

    #[test]
    fn any_number_of_samples() {
        let it = case("Col2Im").reference().input("x", &[2, 4, 4]).dynamic(&["n"]);
        it.ints_input("image", &[3, 3]).ints_input("block", &[2, 2]).check();
    }

    #[test]
    fn other_columns_are_refused() {
        columns(&[3, 3], &[2, 2], 5).refused("5 columns");
        columns(&[1, 3], &[2, 2], 1).refused("does not fit");
        columns(&[3], &[2, 2], 4).refused("");
        columns(&[3, 3], &[2, 2], 4).ints("pads", &[-1, 0, 1, 0]).refused("does not fit");
        let wide = case("Col2Im").input("x", &[1, 4, 4]).ints_input("image", &[3, 3]);
        wide.ints_input("block", &[3, 2]).refused("4 entries");
        columns(&[3, 3], &[2, 2], 4).ints("dilations", &[i64::MAX, 1]).refused("does not fit");
        columns(&[3, 3], &[2, 2], 4).ints("strides", &[0, 1]).refused("strides");
        let it = case("Col2Im").input("x", &[1, 4, 4]).dynamic(&["", "", "l"]);
        it.ints_input("image", &[3, 3]).ints_input("block", &[2, 2]).refused("run time");
    }

    #[test]
    fn snapshots() {
        columns(&[3, 3], &[2, 2], 4).snapshot("plain");
    }
}
