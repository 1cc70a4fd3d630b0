//! MaxUnpool: the elements go where pooling took them from, each within its own sample and channel;
//! all else is 0. Of elements that go to one place the last one stays.

use super::Inputs::First;
use super::window::explicit;
use super::{Entry, Rule};
use crate::compile::build::Expr;
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim};

pub(super) const RULES: &[Entry] =
    &[Entry::exact("MaxUnpool", First, max_unpool).kink("the last of those that go to one place")];

fn max_unpool(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (x, indices, y_dims) = (cx.ranked(0, 3)?, cx.raw(1)?, cx.y_dims(0)?);
    let dims = x.dims();
    if indices.rank() != dims.len() || y_dims.len() != dims.len() {
        let ranks = [indices.rank(), y_dims.len(), dims.len()];
        return Err(Error::unreadable(format!("indices, output and input of ranks {ranks:?}")));
    }
    check_size(cx, &dims, &y_dims)?;
    let [places, elements] = [&y_dims, &dims].map(|dims| cx.e.product(&dims[2..]));
    let planes = |last: Dim| [dims[0].clone(), dims[1].clone(), last];
    let within = indices.cast(DataType::I64).binary("Mod", cx.e.extent(&places));
    let within = within.reshape(&planes(elements.clone()));
    let zeros = Expr::zeros(cx.e, x.dtype(), &planes(places));
    let inputs = [zeros, within, x.reshape(&planes(elements))];
    let unpooled = cx.e.op("ScatterElements", &inputs, &[("axis", 2.into())]);
    cx.emit(0, cx.through(unpooled.reshape(&y_dims))?);
    Ok(())
}

/// Refuses an output of another size than the windows tell: in ONNX Runtime the indices then point
/// into that output, by the standard into one of the size that the windows tell.
fn check_size(cx: &Rule, dims: &[Dim], y_dims: &[Dim]) -> Result<()> {
    if cx.node.input(2).is_none() {
        return Ok(());
    }
    let windows = explicit(cx, cx.node.ints("kernel_shape")?.unwrap_or_default().to_vec())?;
    if windows.kernel.len() + 2 != dims.len() {
        let what = format!("a kernel {:?} over rank {}", windows.kernel, dims.len());
        return Err(Error::unreadable(what));
    }
    let small = |n: i64| i32::try_from(n).map(Dim::Value).unwrap_or(Dim::Value(i32::MAX));
    let told = |(i, dim): (usize, &Dim)| {
        let beyond = windows.kernel[i] - windows.begin[i] - windows.end[i];
        ((dim.clone() - Dim::Value(1)) * small(windows.strides[i]) + small(beyond)).simplify()
    };
    if dims[2..].iter().enumerate().map(told).eq(y_dims[2..].iter().cloned()) {
        return Ok(());
    }
    cx.refuse("runtimes disagree on where the indices point in an output of another size")
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, case};

    fn unpool(dims: &[i64], indices: &[i64], kernel: &[i64]) -> Case {
        let case = case("MaxUnpool").input("x", dims).ints_shaped("indices", dims, indices);
        case.ints("kernel_shape", kernel)
    }

    #[test]
    fn elements_go_where_they_came_from() {
        let pool = || unpool(&[1, 1, 2, 2], &[5, 7, 13, 15], &[2, 2]).ints("strides", &[2, 2]);
        pool().reference().check();
        pool().f32().ort().check();
        pool().ints_input("shape", &[1, 1, 4, 4]).f32().ort().check();
        let planes = || unpool(&[2, 2, 2], &[0, 3, 5, 6, 8, 11, 13, 14], &[2]);
        planes().ints("strides", &[2]).reference().check();
        planes().ints("strides", &[2]).f32().ort().check();
        let volume = unpool(&[1, 1, 1, 2, 1], &[3, 4], &[2, 2, 1]);
        volume.ints("strides", &[1, 2, 1]).reference().check();
        let pads = unpool(&[1, 1, 3], &[0, 2, 3], &[3]).ints("strides", &[1]).ints("pads", &[0, 1]);
        pads.reference().check();
    }

    #[test]
    fn the_last_of_those_that_go_to_one_place_stays() {
        let twice = || unpool(&[1, 1, 3], &[1, 1, 3], &[2]).ints("strides", &[1]);
        twice().f32().ort().check();
        twice().reference().check();
    }

    #[test]
    fn sizes_known_at_run_time() {
        let x = case("MaxUnpool").input("x", &[2, 1, 2]).dynamic(&["n", "", "w"]);
        let x = x.ints_shaped("indices", &[2, 1, 2], &[0, 3, 5, 6]);
        x.ints("kernel_shape", &[2]).ints("strides", &[2]).reference().check();
    }

    #[test]
    fn another_size_is_refused() {
        let pool = unpool(&[1, 1, 2], &[0, 3], &[2]).ints("strides", &[2]);
        pool.ints_input("shape", &[1, 1, 5]).refused("runtimes disagree");
    }

    #[test]
    fn snapshots() {
        let pool = unpool(&[1, 2, 2], &[1, 2, 4, 7], &[2]).ints("strides", &[2]);
        pool.reference().snapshot("plain");
    }
}
