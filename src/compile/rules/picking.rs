//! Operators that pick elements by what the data says, and running products.
//!
//! `OneHot`: each element of the output is one of the two values. `Unique`: the elements that its
//! own Indices name. `ReverseSequence`: each sequence of the batch is read back to front as far as
//! it reaches. `CumProd`: `y_i` is the product of the `x_j` up to `i`, so `dy_i = Σ_j T_ji dx_j`
//! with `T_ji` the product of the others among them, right where elements are 0 too.

use super::Inputs::{All, First};
use super::{Entry, Rule};
use crate::compile::build::Expr;
use crate::compile::linear as step;
use crate::compile::linear::Side;
use crate::error::{Error, Result};
use crate::graph::{Attr, DataType, Dim};

pub(super) const RULES: &[Entry] = &[
    Entry::exact("OneHot", All, one_hot),
    Entry::exact("Unique", First, unique).kink("the first of equals"),
    Entry::exact("ReverseSequence", First, reverse_sequence),
    Entry::smooth("CumProd", First, cum_prod),
];

fn one_hot(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let Some(values) = cx.tangent(2) else { return Ok(()) };
    let inputs = [cx.raw(0)?, cx.raw(1)?, cx.e.ints(&[0, 1])];
    let attributes: Vec<(&str, Attr)> =
        cx.node.int("axis")?.map(|axis| ("axis", axis.into())).into_iter().collect();
    let which = cx.e.op("OneHot", &inputs, &attributes);
    cx.emit(0, values.gather(0, which.id, cx.y_dims(0)?));
    Ok(())
}

fn unique(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (mut dx, y_dims) = (cx.dx(0)?, cx.y_dims(0)?);
    let axis = match cx.node.int("axis")? {
        Some(axis) => cx.axis(axis, dx.rank())?,
        None => {
            dx = dx.reshape(&[cx.e.product(&dx.dims())]);
            0
        }
    };
    let indices = match cx.node.output(1) {
        Some(indices) => indices,
        None => cx.add_output(1, "indices", DataType::I64, vec![y_dims[axis].clone()])?,
    };
    cx.emit(0, dx.gather(axis, indices, y_dims));
    Ok(())
}

fn reverse_sequence(cx: &Rule) -> Result<()> {
    cx.homogeneous();
    let (dx, lengths) = (cx.dx(0)?, cx.raw(1)?.cast(DataType::I64));
    let (time, batch) =
        (cx.node.int("time_axis")?.unwrap_or(0), cx.node.int("batch_axis")?.unwrap_or(1));
    let ((0, 1) | (1, 0)) = (time, batch) else {
        let what = format!("time axis {time} and batch axis {batch}, where 0 and 1 are required");
        return Err(Error::unreadable(what));
    };
    let dims = dx.dims();
    if dims.len() < 2 {
        return Err(Error::unreadable(format!("an input of rank {}, no batch", dims.len())));
    }
    let axis = time as usize;
    let mut along = vec![Dim::Value(1); dims.len()];
    along[axis] = dims[axis].clone();
    let places = cx.e.range(&dims[axis]).reshape(&along);
    along[axis] = Dim::Value(1);
    along[1 - axis] = dims[1 - axis].clone();
    let lengths = lengths.reshape(&along);
    let back = lengths - cx.e.int(1) - places;
    let indices = back.where_(places.binary("Less", lengths), places).expand(&dims);
    cx.emit(0, cx.step(step::GatherElements { axis, indices: indices.id }, dx, &dims));
    Ok(())
}

fn cum_prod(cx: &Rule) -> Result<()> {
    let (dx, x) = (cx.dx(0)?, cx.x(0)?);
    let Some([axis]) = cx.known(1)?.as_deref().and_then(|axes| <[i64; 1]>::try_from(axes).ok())
    else {
        return cx.refuse("the axis of the products is only known at run time");
    };
    let axis = cx.axis(axis, dx.rank())?;
    let mut last: Vec<usize> = (0..dx.rank()).filter(|&a| a != axis).collect();
    last.push(axis);
    let mut back: Vec<usize> = (0..axis).collect();
    back.push(dx.rank() - 1);
    back.extend(axis..dx.rank() - 1);

    let table = others(cx, x.transpose(&last))?;
    let turned = dx.transpose(&last);
    let mut row = turned.dims();
    row.insert(row.len() - 1, Dim::Value(1));
    let product = turned.reshape(&row).matmul(table.id, Side::Right, false, row.clone());
    cx.emit(0, product.reshape(&turned.dims()).transpose(&back));
    Ok(())
}

/// The matrix of the products without element `j` up to element `i` of the last axis of `x`.
fn others<'e>(cx: &Rule<'e>, x: Expr<'e>) -> Result<Expr<'e>> {
    let flag = |name| cx.node.int(name).map(|v| v.unwrap_or(0) != 0);
    let (exclusive, reverse) = (flag("exclusive")?, flag("reverse")?);
    let dims = x.dims();
    let Some(size) = dims.last() else {
        return Err(Error::unreadable("an input of rank 0"));
    };
    let e = cx.e;
    let running = |x: Expr<'e>, axis: usize, exclusive: bool| {
        let flags = [("exclusive", exclusive), ("reverse", reverse)];
        let attributes: Vec<(&str, Attr)> =
            flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, 1.into())).collect();
        e.op("CumProd", &[x, e.int(axis as i64)], &attributes)
    };
    let column = [size.clone(), Dim::Value(1)];
    let (i, j) = (e.range(size), e.range(size).reshape(&column));
    let (early, late) = if reverse { (i, j) } else { (j, i) };
    let behind = early.binary("Less", late);
    let at = |axis: usize, x: Expr<'e>| {
        let mut dims = dims.clone();
        dims.insert(axis, Dim::Value(1));
        x.reshape(&dims)
    };
    let factors = at(dims.len() - 1, x).where_(behind, x.number(1.0));
    let behind_j = running(factors, dims.len(), exclusive);
    let before_j = at(dims.len(), running(x, dims.len() - 1, true));
    let counts = if exclusive { behind } else { early.binary("LessOrEqual", late) };
    Ok(before_j * behind_j * counts.indicator(x.dtype()))
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, case};

    fn hot(dims: &[i64], indices: &[i64], depth: i64) -> Case {
        let case = case("OneHot").ints_shaped("indices", dims, indices);
        case.ints_shaped("depth", &[], &[depth]).input("values", &[2])
    }

    #[test]
    fn values_of_one_hot_tensors() {
        for axis in [0, 1, -1, -2] {
            hot(&[3], &[0, 2, 1], 3).int("axis", axis).reference().check();
            hot(&[2, 2], &[0, 5, -1, -4], 4).int("axis", axis).f32().ort().check();
        }
        hot(&[], &[1], 2).reference().check();
        hot(&[2], &[1, 0], 3).reference().snapshot("plain");
    }

    #[test]
    fn unique_elements() {
        let values = [1.0, 0.3, 1.0, -0.7, 0.3, 1.9];
        for sorted in [0, 1] {
            let x = || case("Unique").input("x", &[6]).int("sorted", sorted).ort();
            x().check();
            x().outputs(4).check();
            case("Unique").input("x", &[2, 3]).int("sorted", sorted).ort().check();
            for axis in [0, 1, -1] {
                let x = case("Unique").input("x", &[3, 2, 2]).int("sorted", sorted);
                x.int("axis", axis).ort().check();
            }
        }
        let first: &[&[f64]] = &[
            &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
            &[0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        ];
        case("Unique").input("x", &[6]).values(&values).ort().jacobian(first);
        case("Unique").input("x", &[2, 3]).ort().snapshot("flat");
        case("Unique").input("x", &[2, 3]).int("axis", 1).ort().snapshot("axis");
    }

    #[test]
    fn sequences_read_backwards() {
        for (time, dims) in [(0, [4, 3]), (1, [3, 4])] {
            for rest in [&[][..], &[2], &[1, 2]] {
                for lengths in [[1, 2, 4], [4, 4, 1], [3, 1, 2]] {
                    let x = case("ReverseSequence").input("x", &[&dims, rest].concat());
                    let x = x.ints_input("lengths", &lengths);
                    x.int("time_axis", time).int("batch_axis", 1 - time).reference().check();
                }
            }
        }
        let x = |names: &[&str]| {
            let x = case("ReverseSequence").input("x", &[3, 2]).dynamic(names);
            x.ints_input("lengths", &[3, 2]).reference()
        };
        x(&[]).snapshot("plain");
        x(&["t", "n"]).check();
        x(&[]).int("time_axis", 1).refused("0 and 1 are required");
    }

    #[test]
    fn running_products() {
        let x = |dims: &[i64]| case("CumProd").input("x", dims).opset(26).reference();
        for exclusive in [0, 1] {
            for reverse in [0, 1] {
                for axis in [0, 1, -1] {
                    let x = x(&[3, 2, 4]).ints_shaped("axis", &[], &[axis]);
                    x.int("exclusive", exclusive).int("reverse", reverse).check();
                }
                for values in [[0.0, 2.0, 3.0], [2.0, 0.0, 3.0], [0.0, 2.0, 0.0]] {
                    let x = x(&[3]).values(&values).ints_shaped("axis", &[], &[0]);
                    x.int("exclusive", exclusive).int("reverse", reverse).check();
                }
            }
        }
        x(&[2, 3]).dynamic(&["n", "m"]).ints_shaped("axis", &[], &[1]).check();
        x(&[2, 3]).ints_shaped("axis", &[], &[1]).snapshot("plain");
    }
}
