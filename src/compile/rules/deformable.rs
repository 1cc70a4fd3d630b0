//! `DeformConv: y[m, p] = B[m] + Σ_{c,k} W[m, c, k]·mask[k, p]·x_c(p·stride + k·dilation − pad + offset[k, p])`
//! with `x` read linearly between its pixels and 0 outside of the image: linear in `x`, `W`, `B` and
//! the mask, and by the offsets through the weights of the pixels read.

use super::Inputs::All;
use super::convolution::kernel_of;
use super::normalisation::channels;
use super::sampling::{Mode, Padding, Reading, Taps, sample};
use super::window::geometry;
use super::{Entry, Rule, Shape};
use crate::compile::build::Expr;
use crate::compile::linear::Geometry;
use crate::error::{Error, Result};
use crate::graph::{Dim, fixed};

pub(super) const RULES: &[Entry] = &[Entry::exact("DeformConv", All, deform_conv)
    .shaped(Shape::Unless(&[1, 2, 4]))
    .kink("the slope behind the pixel")];

fn deform_conv(cx: &Rule) -> Result<()> {
    let (x, w, offset) = (cx.ranked(0, 3)?, cx.x(1)?, cx.x(2)?);
    let (x_dims, y_dims) = (x.dims(), cx.y_dims(0)?);
    let windows = geometry(cx, kernel_of(cx)?, &x_dims, &y_dims)?.geometry;
    let layout = Layout::read(cx, windows, &x_dims, &y_dims)?;
    let columns = layout.columns(x, offset, cx.node.input(4).map(|_| cx.x(4)).transpose()?);
    let w_dims = w.dims();
    let group = Dim::Value(layout.group as i32);
    let split = |dim: &Dim| (dim.clone() / group.clone()).simplify();
    let w = w.reshape(&[group.clone(), split(&w_dims[0]), w_dims[1].clone(), layout.taps.clone()]);
    let columns = columns.reshape(&[
        x_dims[0].clone(),
        group.clone(),
        split(&x_dims[1]),
        layout.taps,
        layout.points,
    ]);
    let equation = [("equation", "ngckp,gmck->ngmp".into())];
    let mut y = cx.e.op("Einsum", &[columns, w], &equation).reshape(&y_dims);
    if cx.node.input(3).is_some() {
        y = y + channels(cx.x(3)?, y_dims.len() - 2);
    }
    let factors = [0, 1, 4].into_iter().filter(|&i| cx.tangent(i).is_some()).count();
    if factors == 1 && cx.tangent(2).is_none() {
        match (cx.node.input(3), cx.tangent(3)) {
            (Some(_), None) => cx.constant_part(0, channels(cx.x(3)?, y_dims.len() - 2)),
            _ => cx.homogeneous(),
        }
    }
    cx.emit(0, cx.through(y)?);
    Ok(())
}

/// How the tensors of the node lie.
struct Layout {
    windows: Geometry,
    group: i64,
    offset_group: i64,
    /// The elements of a window.
    taps: Dim,
    /// The windows.
    points: Dim,
    out: Vec<Dim>,
}

impl Layout {
    fn read(cx: &Rule, windows: Geometry, x_dims: &[Dim], y_dims: &[Dim]) -> Result<Self> {
        let group = cx.node.int("group")?.unwrap_or(1);
        let offset_group = cx.node.int("offset_group")?.unwrap_or(1);
        let Some(channels) = fixed(&x_dims[1]) else {
            return cx.refuse("the number of channels is only known at run time");
        };
        for (name, groups) in [("group", group), ("offset_group", offset_group)] {
            if groups < 1 || channels % groups != 0 {
                let what = format!("{channels} channels with attribute '{name}' {groups}");
                return Err(Error::unreadable(what));
            }
        }
        let kernel: Vec<Dim> = windows.kernel.iter().map(|&k| Dim::Value(k as i32)).collect();
        let out = y_dims[2..].to_vec();
        let (taps, points) = (cx.e.product(&kernel), cx.e.product(&out));
        let elements = fixed(&taps).unwrap_or(0);
        let offsets = elements.saturating_mul(windows.rank() as i64);
        for (index, wanted) in [(2, offsets), (4, elements)] {
            let found = cx.node.input(index).map(|_| cx.raw(index)).transpose()?.map(Expr::dims);
            let fits = |dims: &Vec<Dim>| {
                dims.len() == y_dims.len()
                    && fixed(&dims[1]).is_none_or(|n| Some(n) == wanted.checked_mul(offset_group))
            };
            if let Some(dims) = found.filter(|dims| !fits(dims)) {
                return Err(Error::unreadable(format!("input {index} is {dims:?}")));
            }
        }
        Ok(Self { windows, group, offset_group, taps, points, out })
    }

    /// What every window reads: `[N, C, K, P]`.
    fn columns<'e>(&self, x: Expr<'e>, offset: Expr<'e>, mask: Option<Expr<'e>>) -> Expr<'e> {
        let (e, x_dims) = (x.e, x.dims());
        let rank = self.windows.rank();
        let (n, one) = (x_dims[0].clone(), Dim::Value(1));
        let groups = Dim::Value(self.offset_group as i32);
        let behind = [self.taps.clone(), Dim::Value(rank as i32), self.points.clone()];
        let offset = offset.reshape(&[&[n.clone(), groups.clone()][..], &behind].concat());
        let all = e.product(&[self.taps.clone(), self.points.clone()]);
        let reading = Reading { mode: Mode::Linear, padding: Padding::Zeros, aligned: true };
        let axes: Vec<Taps> = (0..rank)
            .map(|axis| {
                let moved = offset.gather(e.int(axis as i64), 3) + self.places(x, axis);
                let u = moved.reshape(&[n.clone(), groups.clone(), all.clone()]);
                reading.taps(u, &x_dims[axis + 2])
            })
            .collect();
        let mut image = vec![n.clone(), groups.clone()];
        image.push((x_dims[1].clone() / groups.clone()).simplify());
        image.extend_from_slice(&x_dims[2..]);
        let values = sample(x.reshape(&image), &axes);
        mask.map_or(values, |mask| values * mask.reshape(&[n, groups, one, all]))
    }

    /// Where the windows read along an axis without an offset: `[K, P]`.
    fn places<'e>(&self, x: Expr<'e>, axis: usize) -> Expr<'e> {
        let (e, rank) = (x.e, self.windows.rank());
        let one = Dim::Value(1);
        let kernel = Dim::Value(self.windows.kernel[axis] as i32);
        let mut dims = vec![one; 2 * rank];
        dims[axis] = kernel.clone();
        let within = (e.range(&kernel) * e.int(self.windows.dilations[axis])).reshape(&dims);
        dims[axis] = Dim::Value(1);
        dims[rank + axis] = self.out[axis].clone();
        let start = (e.range(&self.out[axis]) * e.int(self.windows.strides[axis])).reshape(&dims);
        let place = start + within - e.int(self.windows.begin[axis]);
        let kernel = self.windows.kernel.iter().map(|&k| Dim::Value(k as i32));
        let full: Vec<Dim> = kernel.chain(self.out.iter().cloned()).collect();
        place.expand(&full).reshape(&[self.taps.clone(), self.points.clone()]).cast(x.dtype())
    }
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, case};

    /// Which of the inputs change, by letter; the others stay.
    fn of(changing: &str, x: &[i64], w: &[i64], offset: &[i64], rest: [bool; 2]) -> Case {
        let add = |case: Case, name: &str, dims: &[i64]| {
            let changes = changing.contains(name);
            if changes { case.input(name, dims) } else { case.param(name, dims) }
        };
        let it = add(case("DeformConv").opset(19).ort(), "x", x);
        let it = add(add(it, "w", w), "o", offset);
        let mut mask = offset.to_vec();
        mask[1] /= x.len() as i64 - 2;
        let it = if rest[0] { add(it, "b", &w[..1]) } else { it.skip() };
        if rest[1] { add(it, "m", &mask) } else { it }
    }

    #[test]
    fn each_input() {
        for changing in ["x", "w", "o", "b", "m", "xw", "xwobm"] {
            let it = of(changing, &[2, 2, 4, 3], &[2, 2, 2, 2], &[2, 8, 3, 2], [true, true]);
            it.check();
        }
        for rest in [[false, false], [true, false], [false, true]] {
            of("xo", &[1, 1, 3, 3], &[2, 1, 2, 1], &[1, 4, 2, 3], rest).check();
        }
    }

    #[test]
    fn windows() {
        for (stride, dilation) in [([1, 2], [2, 1]), ([2, 1], [1, 1])] {
            for pads in [[0, 0, 0, 0], [1, 0, 0, 1]] {
                let out = |axis: usize, size: i64| {
                    let reach = dilation[axis] + 1;
                    (size + pads[axis] + pads[axis + 2] - reach) / stride[axis] + 1
                };
                let offset = [1, 8, out(0, 4), out(1, 5)];
                let it = of("xwo", &[1, 1, 4, 5], &[1, 1, 2, 2], &offset, [false, true]);
                it.ints("strides", &stride)
                    .ints("dilations", &dilation)
                    .ints("pads", &pads)
                    .check();
            }
        }
    }

    #[test]
    fn groups() {
        for (group, offset_group) in [(2, 1), (1, 2), (2, 2), (4, 2), (2, 4)] {
            let w = [4, 4 / group, 2, 1];
            let it = of("xwo", &[1, 4, 3, 2], &w, &[1, 4 * offset_group, 2, 2], [true, true]);
            it.int("group", group).int("offset_group", offset_group).check();
        }
    }

    #[test]
    fn symbolic_sizes() {
        let it = case("DeformConv").opset(19).ort().input("x", &[2, 2, 4, 3]);
        let it = it.dynamic(&["n", "", "h", "w"]).param("w", &[2, 2, 2, 2]);
        it.param("o", &[2, 8, 3, 2]).check();
    }

    #[test]
    fn samples_stay_apart() {
        let graph = "g (double[n, 4, 3, 3] x) => (y) <int64[4] s = {1, 4, 2, 2}> {
            p = AveragePool <kernel_shape = [2, 2]> (x) o = Concat <axis = 1> (p, p)
            w = ConstantOfShape <value = double[1] {0.5}> (s) y = DeformConv (x, w, o) }";
        let text = format!("<ir_version: 9, opset_import: [\"\" : 19]> {graph}");
        let model = crate::onnx::text::parse(&text).unwrap();
        crate::compile::transform(model, &crate::compile::Options::default()).unwrap();
    }

    #[test]
    fn malformed_groups_are_refused() {
        let it = of("x", &[1, 2, 3, 3], &[2, 2, 2, 2], &[1, 8, 2, 2], [false, false]);
        it.int("offset_group", 3).refused("offset_group");
        let it = of("x", &[1, 2, 3, 3], &[2, 2, 2, 2], &[1, 4, 2, 2], [false, false]);
        it.refused("input 2");
    }

    #[test]
    fn snapshots() {
        of("x", &[1, 2, 3, 3], &[2, 2, 2, 2], &[1, 8, 2, 2], [true, true]).snapshot("image");
    }
}
