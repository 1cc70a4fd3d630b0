//! Losses by the class of each sample.
//!
//! With the class `t`, `l = −w_t·x_t` for each sample; `none` gives these, `sum` their sum, and `mean`
//! their sum divided by that of the `w_t`. `w` is 1 where no weights are given, and 0 where the class is
//! to be ignored. `NegativeLogLikelihoodLoss` is that of its input, `SoftmaxCrossEntropyLoss` that of
//! its input's LogSoftmax over the classes, which is its second output.

use super::Inputs::Only;
use super::{Entry, Rule, Shape};
use crate::compile::build::Expr;
use crate::error::{Error, Result};
use crate::graph::DataType;

pub(super) const RULES: &[Entry] = &[
    Entry::exact("NegativeLogLikelihoodLoss", Only(&[0, 2]), likelihood)
        .shaped(Shape::Unless(&[2])),
    Entry::smooth("SoftmaxCrossEntropyLoss", Only(&[0, 2]), cross_entropy),
];

fn likelihood(cx: &Rule) -> Result<()> {
    if cx.tangent(2).is_none() {
        cx.homogeneous();
    }
    let loss = loss(cx, cx.ranked(0, 2)?)?;
    cx.emit(0, cx.through(loss)?);
    Ok(())
}

fn cross_entropy(cx: &Rule) -> Result<()> {
    let x = cx.ranked(0, 2)?;
    let logs = cx.e.op("LogSoftmax", &[x], &[("axis", 1.into())]);
    let loss = loss(cx, logs)?;
    cx.emit(0, cx.through(loss)?);
    if cx.node.output(1).is_some()
        && let Some(change) = cx.maybe_through(logs)?
    {
        cx.emit(1, change);
    }
    Ok(())
}

/// The loss by the logarithms of the classes' probabilities.
fn loss<'e>(cx: &Rule<'e>, logs: Expr<'e>) -> Result<Expr<'e>> {
    let (e, classes) = (cx.e, cx.raw(1)?.cast(DataType::I64));
    let dims = classes.dims();
    if dims.len() + 1 != logs.rank() {
        let (given, rank) = (dims.len(), logs.rank());
        return Err(Error::unreadable(format!(
            "classes of rank {given} for scores of rank {rank}"
        )));
    }
    // What is ignored may be a number that is no class.
    let counted = cx.node.int("ignore_index")?.map(|ignored| {
        let counted = classes.binary("Equal", e.int(ignored)).unary("Not");
        (counted, classes.where_(counted, e.int(0)))
    });
    let zero = logs.number(0.0);
    let counted_of = |x: Expr<'e>| counted.map_or(x, |(counted, _)| x.where_(counted, zero));
    let classes = counted.map_or(classes, |(_, classes)| classes);
    let picked = [logs, classes.unsqueeze(&[1])];
    let picked = e.op("GatherElements", &picked, &[("axis", 1.into())]).reshape(&dims);
    let weights = match cx.node.input(2) {
        Some(_) => Some(cx.x(2)?.cast(logs.dtype()).gather(classes, 0)),
        None => counted.map(|_| logs.number(1.0)),
    };
    let losses = -counted_of(weights.map_or(picked, |weights| picked * weights));
    let every: Vec<usize> = (0..dims.len()).collect();
    let total = |x: Expr<'e>| x.reduce("ReduceSum", &every, false);
    match (cx.node.text("reduction")?.unwrap_or("mean"), weights) {
        ("none", _) => Ok(losses),
        ("sum", _) => Ok(total(losses)),
        ("mean", None) => Ok(losses.reduce("ReduceMean", &every, false)),
        ("mean", Some(weights)) => Ok(total(losses) / total(counted_of(weights))),
        (other, _) => Err(Error::unreadable(format!("attribute 'reduction' is '{other}'"))),
    }
}

#[cfg(test)]
mod tests {
    use crate::compile::rules::testing::{Case, case};
    use crate::compile::select::Batch;
    use crate::compile::{Options, transform};

    /// A loss over three classes with scores of dimensions `dims`.
    fn loss(op: &str, dims: &[i64], classes: &[i64]) -> Case {
        let labels = [&dims[..1], &dims[2..]].concat();
        case(op).reference().input("x", dims).ints_shaped("t", &labels, classes)
    }

    const OPERATORS: [&str; 2] = ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"];

    const FORMS: [(&[i64], &[i64]); 4] = [
        (&[3, 3], &[2, 0, 1]),
        (&[2, 3, 2], &[1, 1, 0, 2]),
        (&[1, 3, 2, 2], &[1, 0, 0, 2]),
        (&[2, 3, 1, 2, 1], &[0, 2, 2, 1]),
    ];

    #[test]
    fn every_reduction_rank_and_ignored_class() {
        for op in OPERATORS {
            for (dims, classes) in FORMS {
                for reduction in ["none", "sum", "mean"] {
                    for ignored in [None, Some(0), Some(2)] {
                        let of = || {
                            let it = loss(op, dims, classes).text("reduction", reduction);
                            ignored.into_iter().fold(it, |it, class| it.int("ignore_index", class))
                        };
                        of().check();
                        of().param("w", &[3]).positive().check();
                    }
                }
            }
        }
    }

    #[test]
    fn weights_may_change() {
        for op in OPERATORS {
            for (dims, classes) in FORMS {
                for reduction in ["none", "sum", "mean"] {
                    let of = || loss(op, dims, classes).text("reduction", reduction);
                    of().input("w", &[3]).positive().check();
                    of().input("w", &[3]).positive().int("ignore_index", 0).check();
                }
            }
            let labels = case(op).reference().param("x", &[2, 3]).ints_input("t", &[2, 1]);
            labels.input("w", &[3]).positive().check();
        }
    }

    #[test]
    fn what_is_ignored_may_be_no_class() {
        for op in OPERATORS {
            for ignored in [-100, -1, 7] {
                for reduction in ["none", "sum", "mean"] {
                    let of = || {
                        let it = loss(op, &[3, 3], &[2, ignored, 1]).int("ignore_index", ignored);
                        it.text("reduction", reduction)
                    };
                    of().param("w", &[3]).positive().check();
                    // The evaluator takes −1 for no class at all, here alone.
                    if op == OPERATORS[0] && ignored == -1 { of().f32().ort() } else { of() }
                        .check();
                }
            }
        }
    }

    #[test]
    fn the_logarithms_are_the_second_output() {
        for (dims, classes) in FORMS {
            loss(OPERATORS[1], dims, classes).outputs(2).check();
            loss(OPERATORS[1], dims, classes).outputs(2).input("w", &[3]).positive().check();
        }
    }

    #[test]
    fn symbolic_sizes() {
        for op in OPERATORS {
            for reduction in ["none", "sum", "mean"] {
                let it = case(op).reference().input("x", &[2, 3]).dynamic(&["n", ""]);
                let it = it.ints_input("t", &[1, 0]).text("reduction", reduction);
                it.int("ignore_index", 2).check();
            }
        }
    }

    #[test]
    fn losses_stay_finite_where_the_function_does() {
        let low = f64::NEG_INFINITY;
        let it = case(OPERATORS[0]).reference().input("x", &[2, 2]).values(&[low, -1.0, -2.0, low]);
        let it = it.ints_input("t", &[0, 0]).text("reduction", "none");
        it.jacobian(&[&[-1.0, 0.0, 0.0, 0.0], &[0.0, 0.0, -1.0, 0.0]]);
        let it = case(OPERATORS[0]).reference().input("x", &[2, 2]).values(&[low, -1.0, -2.0, low]);
        let it = it.ints_input("t", &[-1, 0]).int("ignore_index", -1);
        it.jacobian(&[&[0.0, 0.0, -1.0, 0.0]]);
        let large = case(OPERATORS[1]).reference().input("x", &[1, 2]).values(&[-1e5, 1e5]);
        large.ints_input("t", &[0]).jacobian(&[&[-1.0, 1.0]]);
    }

    #[test]
    fn another_runtime_agrees() {
        for op in OPERATORS {
            for reduction in ["none", "sum", "mean"] {
                let of = || loss(op, &[2, 3, 2], &[1, 1, 0, 2]).text("reduction", reduction);
                of().f32().ort().int("ignore_index", 0).check();
                of().f32().ort().param("w", &[3]).positive().check();
            }
        }
    }

    #[test]
    fn samples_stay_apart_until_they_are_summed() {
        for op in OPERATORS {
            let transformed = |reduction: &str, y: &str| {
                let node = format!("y = {op} <reduction = \"{reduction}\"> (x, t)");
                let inputs = "float[N, 3, 2] x, int64[N, 2] t";
                let text = "<ir_version: 8, opset_import: [\"\" : 18]>";
                let text = format!("{text} g ({inputs}) => (float{y} y) {{ {node} }}");
                let model = crate::onnx::text::parse(&text).expect("a model");
                let options = Options { batch: Batch::Axis(0), ..Options::default() };
                transform(model, &options)
            };
            assert!(transformed("none", "[N, 2]").is_ok());
            assert!(transformed("sum", "[]").is_err());
        }
    }

    #[test]
    fn malformed_losses_are_refused() {
        for op in OPERATORS {
            case(op).input("x", &[3]).ints_input("t", &[0, 1, 2]).refused("rank 1");
            case(op).input("x", &[2, 3, 2]).ints_input("t", &[0, 1]).refused("classes of rank 1");
            let it = loss(op, &[1, 3], &[0]).text("reduction", "median");
            it.refused("attribute 'reduction' is 'median'");
        }
    }

    #[test]
    fn snapshots() {
        let likelihood = || loss(OPERATORS[0], &[2, 3], &[2, 0]);
        likelihood().text("reduction", "none").snapshot("none");
        likelihood().param("w", &[3]).positive().int("ignore_index", 1).snapshot("weighted");
        loss(OPERATORS[1], &[2, 3], &[2, 0]).snapshot("mean");
        loss(OPERATORS[1], &[2, 3], &[2, 0]).outputs(2).snapshot("both");
    }
}
