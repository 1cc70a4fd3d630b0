//! Switches that turn where another of several values becomes the largest or the least.

use super::{away, norms, positive};
use crate::compile::build::{Emit, Expr};
use crate::compile::linear::VarId;
use crate::error::{Error, Result};
use crate::graph::{DataType, Dim, Node, Tensor, fixed};

/// Values that compete.
pub(super) struct Winners<'e> {
    /// The values whose elements compete, and their changes.
    pub inputs: Vec<(Expr<'e>, Option<VarId>)>,
    /// The winners, and their change.
    pub output: (Expr<'e>, VarId),
    /// Which elements compete.
    pub field: Field,
    /// Whether the least wins.
    pub least: bool,
}

/// Which elements compete with each other; they go to a new last axis.
pub(super) enum Field {
    /// Those in windows over the spatial axes.
    Windows(Windows),
    /// Those along these axes, ascending.
    Axes(Vec<usize>),
    /// Those of several inputs at one place.
    Inputs,
}

/// The elements of windows as positions in the flattened space.
pub(super) struct Windows {
    /// The number of windows, and of the elements of each.
    shape: [usize; 2],
    /// Their positions in row-major order; −1 for padding.
    places: Vec<i64>,
}

impl Windows {
    /// The windows of a MaxPool between values of these dimensions.
    ///
    /// # Errors
    /// When a spatial size is known at run time only, or an attribute is malformed.
    pub(super) fn of(node: &Node, input: &[Dim], output: &[Dim]) -> Result<Self> {
        let known =
            |dims: &[Dim]| -> Option<Vec<i64>> { dims.get(2..)?.iter().map(fixed).collect() };
        let (Some(sizes), Some(outputs)) = (known(input), known(output)) else {
            return Err(Error::unsupported(
                "the size of the pooled space is only known at run time",
            )
            .help("fix the size of the input"));
        };
        let axes = sizes.len();
        let list = |name: &str, default: i64, count: usize| -> Result<Vec<i64>> {
            let values = node.ints(name)?.map_or(vec![default; count], <[i64]>::to_vec);
            match values.len() == count {
                true => Ok(values),
                false => Err(Error::unreadable(format!("attribute '{name}' is {values:?}"))),
            }
        };
        let kernel = list("kernel_shape", 0, axes)?;
        let (strides, gaps) = (list("strides", 1, axes)?, list("dilations", 1, axes)?);
        let mut begin = list("pads", 0, 2 * axes)?;
        for axis in 0..axes {
            let reach = (kernel[axis] - 1) * gaps[axis] + 1;
            let total = ((outputs[axis] - 1) * strides[axis] + reach - sizes[axis]).max(0);
            match node.text("auto_pad")?.unwrap_or("NOTSET") {
                "NOTSET" => {}
                "SAME_UPPER" => begin[axis] = total / 2,
                "SAME_LOWER" => begin[axis] = total - total / 2,
                _ => begin[axis] = 0,
            }
        }
        let mut places = Vec::new();
        let windows = grid(&outputs);
        let elements = grid(&kernel);
        for window in &windows {
            for element in &elements {
                let place = (0..axes).try_fold(0, |flat, axis| {
                    let at =
                        window[axis] * strides[axis] - begin[axis] + element[axis] * gaps[axis];
                    (0..sizes[axis]).contains(&at).then(|| flat * sizes[axis] + at)
                });
                places.push(place.unwrap_or(-1));
            }
        }
        Ok(Self { shape: [windows.len(), elements.len()], places })
    }

    /// A number for each element of each window.
    fn constant<'e>(&self, e: &'e Emit, numbers: &[i64]) -> Expr<'e> {
        let dims = self.shape.map(|n| n as i64).to_vec();
        e.constant(Tensor { dims, ..Tensor::ints(numbers) })
    }
}

/// Every multi-index below these sizes, in row-major order.
fn grid(sizes: &[i64]) -> Vec<Vec<i64>> {
    let longer = |all: Vec<Vec<i64>>, &size: &i64| {
        let each = |one: Vec<i64>| (0..size).map(move |i| [one.as_slice(), &[i]].concat());
        all.into_iter().flat_map(each).collect()
    };
    sizes.iter().fold(vec![Vec::new()], longer)
}

impl<'e> Winners<'e> {
    /// How many values compete for each place, where it is known.
    pub(super) fn candidates(&self) -> Option<usize> {
        match &self.field {
            Field::Windows(windows) => Some(windows.shape[1]),
            Field::Inputs => Some(self.inputs.len()),
            Field::Axes(axes) => {
                let dims = self.inputs[0].0.dims();
                let mut sizes = axes.iter().map(|&axis| fixed(&dims[axis]));
                sizes.try_fold(1usize, |n, size| n.checked_mul(usize::try_from(size?).ok()?))
            }
        }
    }

    /// The candidates on a new last axis, of values with axes `lead` in front of their own.
    fn stacked(&self, values: &[Expr<'e>], lead: &[Dim]) -> Expr<'e> {
        let (x, front) = (values[0], lead.len());
        let (e, dims) = (x.e, x.dims());
        match &self.field {
            Field::Windows(windows) => {
                let space = e.product(&dims[front + 2..]);
                let mut flat = dims[..front + 2].to_vec();
                flat.push(space);
                let places: Vec<i64> = windows.places.iter().map(|&p| p.max(0)).collect();
                x.reshape(&flat).gather(windows.constant(e, &places), front + 2)
            }
            Field::Axes(axes) => {
                let axes: Vec<usize> = axes.iter().map(|axis| axis + front).collect();
                let others = (0..dims.len()).filter(|axis| !axes.contains(axis));
                let perm: Vec<usize> = others.clone().chain(axes.iter().copied()).collect();
                let mut flat: Vec<Dim> = others.map(|axis| dims[axis].clone()).collect();
                let sizes: Vec<Dim> = axes.iter().map(|&axis| dims[axis].clone()).collect();
                flat.push(e.product(&sizes));
                x.transpose(&perm).reshape(&flat)
            }
            Field::Inputs => {
                let whole: Vec<Dim> = lead.iter().cloned().chain(self.output.0.dims()).collect();
                let mut column = whole.clone();
                column.push(Dim::Value(1));
                let each = values.iter().map(|x| {
                    let own = x.dims()[front..].to_vec();
                    let ones = vec![Dim::Value(1); whole.len() - front - own.len()];
                    let aligned: Vec<Dim> = lead.iter().cloned().chain(ones).chain(own).collect();
                    x.reshape(&aligned).expand(&whole).reshape(&column)
                });
                Expr::concat(&each.collect::<Vec<_>>(), whole.len())
            }
        }
    }

    /// Where the candidates are no padding, if there is any.
    fn real(&self) -> Option<Expr<'e>> {
        let Field::Windows(windows) = &self.field else { return None };
        windows.places.contains(&-1).then(|| {
            let real: Vec<i64> = windows.places.iter().map(|&p| i64::from(p >= 0)).collect();
            windows.constant(self.output.0.e, &real).cast(DataType::Bool)
        })
    }

    fn candidates_of(&self) -> Expr<'e> {
        let values: Vec<_> = self.inputs.iter().map(|(x, _)| *x).collect();
        self.stacked(&values, &[])
    }

    /// The place of the first winner among the candidates.
    pub(super) fn position(&self) -> Expr<'e> {
        let values = self.candidates_of();
        let values = match self.real() {
            Some(real) => values.where_(real, values.number(f64::NEG_INFINITY)),
            None => values,
        };
        let op = if self.least { "ArgMin" } else { "ArgMax" };
        let axis = values.rank() as i64 - 1;
        let winner = values.e.op(op, &[values], &[("axis", axis.into()), ("keepdims", 0.into())]);
        winner.reshape(&self.output.0.dims())
    }

    /// `least |winner − candidate| / ‖∂winner − ∂candidate‖`, those that move alike aside, and with
    /// `beyond` those that are equal, too.
    pub(super) fn distance(&self, tangents: &[Option<Expr<'e>>], beyond: bool) -> Expr<'e> {
        let (winner, output) = (self.output.0, self.output.1);
        let changes = self.inputs.iter().map(|(_, var)| tangents[var.as_ref()?.0]);
        let changes: Vec<Option<Expr<'e>>> = changes.collect();
        let (Some(lead), Some(dy)) =
            (changes.iter().flatten().next().map(|dx| dx.dims()[0].clone()), tangents[output.0])
        else {
            return Expr::filled(winner.e, winner.dtype(), f64::INFINITY, &winner.dims());
        };
        let values = self.candidates_of();
        let mut column = values.dims();
        let last = column.len() - 1;
        column[last] = Dim::Value(1);
        let margin = (winner.reshape(&column) - values).unary("Abs");
        let margin = if beyond { positive(margin) } else { margin };
        let lead = [lead];
        let changes: Vec<Expr<'e>> = self
            .inputs
            .iter()
            .zip(changes)
            .map(|((x, _), dx)| {
                let dims = || lead.iter().cloned().chain(x.dims()).collect::<Vec<_>>();
                dx.unwrap_or_else(|| Expr::zeros(x.e, x.dtype(), &dims()))
            })
            .collect();
        let seeded: Vec<Dim> = lead.iter().cloned().chain(column).collect();
        let distance = away(margin, norms(dy.reshape(&seeded) - self.stacked(&changes, &lead)));
        let distance = match self.real() {
            Some(real) => distance.where_(real, distance.number(f64::INFINITY)),
            None => distance,
        };
        distance.reduce("ReduceMin", &[last], false).reshape(&winner.dims())
    }
}
