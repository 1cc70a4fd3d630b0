//! Rows from tangents that several input components share.

use super::Task;
use crate::compile::build::{Emit, Expr};
use crate::compile::linear::moved;
use crate::compile::plan::Colours;
use crate::graph::Dim;

/// The number of the colour of each input component, `[C, s…]`.
pub(super) fn of_components<'e>(e: &'e Emit, colours: &Colours) -> Expr<'e> {
    let rank = colours.sizes.len();
    let along = |list: &[i64], axis: usize| {
        let mut dims = vec![Dim::Value(1); rank + 1];
        dims[axis] = Dim::Value(list.len() as i32);
        e.ints(list).reshape(&dims)
    };
    let mut stride = colours.count() / colours.channels.max(1);
    let channels: Vec<i64> = (0..colours.channels).map(|channel| channel * stride).collect();
    let mut number = along(&channels, 0);
    for (axis, (&size, &period)) in colours.sizes.iter().zip(&colours.periods).enumerate() {
        stride /= period;
        let own: Vec<i64> = (0..size).map(|place| place % period * stride).collect();
        number = number + along(&own, axis + 1);
    }
    number
}

/// ŵ as `[N, K, 1, C, s…]` of the chosen neurons' tangents `[N, K, colours]`.
///
/// Along each axis a product with a matrix repeats the colours, and leaves out what lies outside the
/// neuron's window.
pub(super) fn rows<'e>(
    task: &Task<'e, '_>,
    layer: usize,
    colours: &Colours,
    tangents: Expr<'e>,
) -> Expr<'e> {
    let (e, target) = (task.e, &task.targets[layer]);
    let program = &task.network.program;
    let (place, _) = target.chosen.place(e, program.var(target.var));
    let windows = target.sight.windows(task.network.input).unwrap_or_default();
    let mut dims = tangents.dims()[..2].to_vec();
    dims.push(Dim::Value(colours.channels as i32));
    dims.extend(colours.periods.iter().map(|&period| Dim::Value(period as i32)));
    let mut x = tangents.reshape(&dims);
    for (axis, &window) in windows.iter().enumerate().rev() {
        let (size, period) = (colours.sizes[axis], colours.periods[axis]);
        if size > period {
            x = repeated(x, axis, place.covers(axis, window, size), (size, period));
        }
    }
    let mut dims = x.dims();
    dims.insert(2, Dim::Value(1));
    x.reshape(&dims)
}

/// `[N, K, C, …, period, …]` with the colours of one axis in all their places `inside` the window,
/// `[K, m, size]`.
fn repeated<'e>(
    x: Expr<'e>,
    axis: usize,
    inside: Expr<'e>,
    (size, period): (i64, i64),
) -> Expr<'e> {
    let e = x.e;
    let [one, wide, own] = [1, size, period].map(|n| Dim::Value(n as i32));
    let colours: Vec<i64> = (0..size).map(|place| place % period).collect();
    let matrix = |shape: [&Dim; 2], range: [&Dim; 2]| {
        let at = e.ints(&colours).reshape(&shape.map(Dim::clone));
        let hot = at.binary("Equal", e.range(&own).reshape(&range.map(Dim::clone)));
        let mut lead = inside.dims();
        lead.swap(0, 1);
        lead.splice(2.., shape.map(Dim::clone));
        hot.binary("And", inside.transpose(&[1, 0, 2]).reshape(&lead)).indicator(x.dtype())
    };
    moved(x, axis, (period, size, 1), |last| match last {
        true => matrix([&one, &wide], [&own, &one]),
        false => matrix([&wide, &one], [&one, &own]).unsqueeze(&[2]),
    })
}
