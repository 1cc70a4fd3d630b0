//! Every operator that takes tensors of any rank, over shapes of rank 0 to 5, with ones and empty axes
//! among them, declared as they are and with symbols for every size.

use super::{Case, case, long};
use crate::compile::rules::table;
use crate::graph::Tensor;

/// First inputs; the first two run by default.
#[rustfmt::skip]
const SHAPES: &[&[i64]] = &[
    &[1, 2, 1, 1, 2], &[2, 0, 3],
    &[], &[2, 1, 2], &[1, 3, 1, 2, 2], &[3], &[1], &[2, 3], &[1, 3], &[2, 3, 2], &[2, 1, 3, 1], &[0], &[0, 3], &[2, 0], &[1, 0, 1, 2], &[0, 2, 1, 1, 2],
];

/// Two shapes that broadcast; the first two run by default.
#[rustfmt::skip]
const PAIRS: &[(&[i64], &[i64])] = &[
    (&[2, 1, 1, 2, 1], &[3, 1, 2]), (&[2, 0], &[2, 1]), (&[], &[2, 3]), (&[2, 1, 2], &[3, 1]),
    (&[], &[]), (&[3], &[2, 3]), (&[2, 3], &[3]), (&[2, 1], &[1, 3]), (&[1], &[2, 1, 2, 1]), (&[2, 3], &[]),
    (&[0], &[1]), (&[1], &[0]), (&[0, 3], &[3]), (&[2, 1], &[0]), (&[], &[0, 3]), (&[1, 0, 2], &[2, 1, 1]),
];

/// Two shapes with a matrix product; the first two run by default.
#[rustfmt::skip]
const PRODUCTS: &[(&[i64], &[i64])] = &[
    (&[2, 1, 2, 3], &[3, 3, 1]), (&[2, 0], &[0, 3]), (&[3], &[3]), (&[0, 2, 3], &[3, 2]),
    (&[3], &[3, 2]), (&[2, 3], &[3]), (&[2, 3], &[3, 2]), (&[1, 2, 3], &[2, 3, 1]), (&[2, 3], &[2, 1, 3, 2]),
    (&[2, 2, 1, 1, 3], &[2, 1, 3, 2]), (&[0, 3], &[3, 2]), (&[2, 3], &[3, 0]), (&[0], &[0]), (&[1, 1, 3], &[0, 3, 2]),
];

/// How an operator is called.
enum Family {
    /// With one tensor of any shape between bounds.
    Unary(f64, f64),
    /// With two that broadcast.
    Binary,
    /// With two that broadcast, the second to the first.
    Under,
    /// With two whose matrix product there is.
    Product,
    /// In the ways that a function tells for a shape.
    Any(fn(&str, &[i64]) -> Vec<Case>),
    /// Its ranks are fixed or its inputs depend on each other: its own tests have its shapes.
    Own,
}

#[rustfmt::skip]
fn family(op: &str) -> Family {
    use Family::{Any, Binary, Own, Product, Unary, Under};
    match op {
        "Acos" | "Asin" | "Atanh" => Unary(-0.9, 0.9),
        "Acosh" => Unary(1.2, 3.0),
        "Log" | "Sqrt" => Unary(0.2, 2.2),
        "Abs" | "Asinh" | "Atan" | "Celu" | "Clip" | "Cos" | "Cosh" | "Dropout" | "Elu" | "Erf" | "Exp" | "Gelu"
        | "HardSigmoid" | "HardSwish" | "Identity" | "LeakyRelu" | "Mish" | "Neg" | "Reciprocal" | "Relu" | "Selu"
        | "Shrink" | "Sigmoid" | "Sin" | "Sinh" | "Softplus" | "Softsign" | "Swish" | "Tan" | "Tanh"
        | "ThresholdedRelu" => Unary(-2.0, 2.0),
        "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" | "Sum" | "Mean" | "Mod" => Binary,
        "PRelu" => Under,
        "MatMul" => Product,
        "Pow" => Any(power),
        "Where" => Any(chosen),
        "CastLike" => Any(cast_like),
        "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax" | "ReduceMean" | "ReduceMin"
        | "ReduceProd" | "ReduceSum" | "ReduceSumSquare" => Any(reductions),
        "Softmax" | "LogSoftmax" => Any(each_axis),
        "LpNormalization" => Any(unit_vectors),
        "CumSum" | "CumProd" => Any(running),
        "LayerNormalization" | "RMSNormalization" => Any(layer_norms),
        "BatchNormalization" => Any(batch_norms),
        "InstanceNormalization" => Any(instance_norms),
        "GroupNormalization" => Any(group_norms),
        "MeanVarianceNormalization" => Any(mean_variance),
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => Any(global_pools),
        "Concat" => Any(concat),
        "Split" => Any(split),
        "Slice" => Any(slices),
        "Pad" => Any(pads),
        "Gather" => Any(gathers),
        "GatherElements" => Any(gathered_elements),
        "GatherND" => Any(gathered_parts),
        "ScatterElements" => Any(scattered),
        "Compress" => Any(compressed),
        "TopK" => Any(largest),
        "Trilu" => Any(triangles),
        "Tile" => Any(tiles),
        "Expand" => Any(expanded),
        "Transpose" => Any(transposed),
        "Flatten" => Any(flattened),
        "Reshape" => Any(reshaped),
        "Squeeze" => Any(squeezed),
        "Unsqueeze" => Any(unsqueezed),
        "AffineGrid" | "Attention" | "AveragePool" | "BitCast" | "Cast" | "CausalConvWithState" | "CenterCropPad" | "Col2Im"
        | "Conv" | "ConvTranspose" | "DFT" | "DeformConv" | "DepthToSpace" | "DequantizeLinear" | "Det" | "Einsum"
        | "FlexAttention" | "GRU" | "Gemm" | "GridSample" | "If" | "LRN" | "LSTM" | "LinearAttention" | "Loop"
        | "LpPool" | "MaxPool" | "MaxRoiPool" | "MaxUnpool" | "NegativeLogLikelihoodLoss" | "OneHot"
        | "QuantizeLinear" | "RNN" | "Range" | "Resize" | "ReverseSequence" | "RoiAlign" | "RotaryEmbedding" | "STFT"
        | "Scan" | "ScatterND" | "SimplifiedLayerNormalization" | "SoftmaxCrossEntropyLoss" | "SpaceToDepth"
        | "SwiGLU" | "TensorScatter" | "Unique" => Own,
        _ => panic!("{op} has a rule and no shapes to try it with"),
    }
}

fn of(op: &str, x: &[i64]) -> Case {
    case(op).input("x", x)
}

fn axes(x: &[i64]) -> impl Iterator<Item = i64> {
    let rank = x.len() as i64;
    -1..rank
}

/// Whether an axis of the tensor is empty, which leaves some reductions undefined.
fn is_empty(x: &[i64]) -> bool {
    x.contains(&0)
}

fn size(x: &[i64], axis: i64) -> i64 {
    x[axis.rem_euclid(x.len() as i64) as usize]
}

fn with(x: &[i64], axis: i64, size: i64) -> Vec<i64> {
    let mut dims = x.to_vec();
    dims[axis.rem_euclid(x.len() as i64) as usize] = size;
    dims
}

fn ranked(x: &[i64], make: impl Fn(i64) -> Case) -> Vec<Case> {
    if x.is_empty() { vec![] } else { axes(x).map(make).collect() }
}

fn power(op: &str, x: &[i64]) -> Vec<Case> {
    vec![of(op, x).positive().input("p", &[]), of(op, &[1]).positive().input("p", x)]
}

fn chosen(op: &str, x: &[i64]) -> Vec<Case> {
    let it = || case(op).bools("c", &[], &[true]);
    vec![it().input("x", x).input("z", &[]), it().input("x", &[1]).input("z", x)]
}

fn cast_like(op: &str, x: &[i64]) -> Vec<Case> {
    vec![of(op, x).param("like", &[1])]
}

fn reductions(op: &str, x: &[i64]) -> Vec<Case> {
    let defined = |axes: &[i64]| {
        let empty = axes.iter().any(|&axis| size(x, axis) == 0) || axes.is_empty() && is_empty(x);
        !empty
            || matches!(
                op,
                "ReduceSum" | "ReduceL1" | "ReduceL2" | "ReduceSumSquare" | "ReduceProd"
            )
    };
    let mut lists: Vec<Vec<i64>> = vec![vec![]];
    lists.extend(axes(x).filter(|_| !x.is_empty()).map(|axis| vec![axis]));
    lists.extend((x.len() > 1).then(|| vec![0, -1]));
    lists.retain(|list| defined(list));
    let kept = |list: &Vec<i64>| {
        [0, 1].map(|keep| of(op, x).positive().ints_input("axes", list).int("keepdims", keep))
    };
    lists.iter().flat_map(kept).collect()
}

fn each_axis(op: &str, x: &[i64]) -> Vec<Case> {
    ranked(x, |axis| of(op, x).int("axis", axis))
}

fn unit_vectors(op: &str, x: &[i64]) -> Vec<Case> {
    let long = |axis: &i64| size(x, *axis) > 1;
    if x.is_empty() {
        return vec![];
    }
    axes(x).filter(long).map(|axis| of(op, x).int("axis", axis)).collect()
}

fn running(op: &str, x: &[i64]) -> Vec<Case> {
    let axis = |axis| case(op).input("x", x).constant("axis", Tensor::int(axis));
    let opset = if op == "CumProd" { 26 } else { 18 };
    ranked(x, |at| axis(at).opset(opset))
}

fn layer_norms(op: &str, x: &[i64]) -> Vec<Case> {
    let opset = if op == "RMSNormalization" { 23 } else { 18 };
    let defined = |axis: i64| {
        let from = axis.rem_euclid(x.len() as i64) as usize;
        !x[from..].contains(&0)
    };
    let scaled = |axis: i64| {
        let from = axis.rem_euclid(x.len() as i64) as usize;
        of(op, x).input("scale", &x[from..]).int("axis", axis).opset(opset).float("epsilon", 0.5)
    };
    if x.is_empty() { vec![] } else { axes(x).filter(|&a| defined(a)).map(scaled).collect() }
}

fn batch_norms(op: &str, x: &[i64]) -> Vec<Case> {
    let [_, channels, ..] = x else { return vec![] };
    let of_channels = |it: Case, name: &str| it.param(name, &[*channels]).positive();
    vec![["s", "b", "m", "v"].into_iter().fold(of(op, x), of_channels)]
}

fn instance_norms(op: &str, x: &[i64]) -> Vec<Case> {
    match x {
        [_, channels, rest @ ..] if !rest.is_empty() && !is_empty(rest) => {
            vec![of(op, x).param("s", &[*channels]).param("b", &[*channels]).float("epsilon", 0.5)]
        }
        _ => vec![],
    }
}

// The function of the standard reshapes with -1, so no engine runs it over an empty batch.
fn group_norms(op: &str, x: &[i64]) -> Vec<Case> {
    let channels =
        |it: Case, n: i64| it.param("s", &[n]).param("b", &[n]).opset(21).float("epsilon", 0.5);
    match x {
        [_, n, rest @ ..] if !rest.is_empty() && !is_empty(x) => {
            vec![
                channels(of(op, x), *n).int("num_groups", *n),
                channels(of(op, x), *n).int("num_groups", 1),
            ]
        }
        _ => vec![],
    }
}

fn mean_variance(op: &str, x: &[i64]) -> Vec<Case> {
    let defined = |axis: &i64| size(x, *axis) > 2;
    if x.is_empty() {
        vec![]
    } else {
        axes(x).filter(defined).map(|axis| of(op, x).ints("axes", &[axis])).collect()
    }
}

fn global_pools(op: &str, x: &[i64]) -> Vec<Case> {
    match x {
        [_, _, rest @ ..] if !rest.is_empty() && !is_empty(x) => vec![of(op, x)],
        _ => vec![],
    }
}

fn concat(op: &str, x: &[i64]) -> Vec<Case> {
    let of = |axis| {
        of(op, x).input("z", &with(x, axis, 2)).param("w", &with(x, axis, 0)).int("axis", axis)
    };
    ranked(x, of)
}

fn split(op: &str, x: &[i64]) -> Vec<Case> {
    let parts =
        |axis| of(op, x).ints_input("parts", &[size(x, axis), 0]).int("axis", axis).outputs(2);
    ranked(x, parts)
}

fn slices(op: &str, x: &[i64]) -> Vec<Case> {
    let to = |end, step, axis| {
        let it = of(op, x)
            .ints_input("starts", &[if step < 0 { -1 } else { 0 }])
            .ints_input("ends", &[end]);
        it.ints_input("axes", &[axis]).ints_input("steps", &[step])
    };
    let ways = [(i64::MAX, 1), (1, 1), (0, 1), (i64::MAX, 2), (i64::MIN, -1)];
    ways.iter().flat_map(|&(end, step)| ranked(x, |axis| to(end, step, axis))).collect()
}

fn pads(op: &str, x: &[i64]) -> Vec<Case> {
    let rank = x.len();
    let (mut before, mut cut) = (vec![0; 2 * rank], vec![0; 2 * rank]);
    if let (Some(first), Some(last)) = (before.first_mut(), cut.last_mut()) {
        (*first, *last) = (2, 1);
    }
    let mut cases = vec![of(op, x).ints_input("pads", &before), of(op, x).ints_input("pads", &cut)];
    if rank > 0 && !is_empty(x) {
        cases.push(of(op, x).ints_input("pads", &before).text("mode", "edge"));
        cases.push(of(op, x).ints_input("pads", &cut).text("mode", "wrap").opset(19));
    }
    cases
}

fn gathers(op: &str, x: &[i64]) -> Vec<Case> {
    let at = |axis: i64| {
        let some = [
            of(op, x).ints_shaped("i", &[], &[-1]).int("axis", axis),
            of(op, x).ints_shaped("i", &[2, 1], &[0, -1]).int("axis", axis),
        ];
        let none = of(op, x).ints_shaped("i", &[0, 2], &[]).int("axis", axis);
        some.into_iter().filter(|_| size(x, axis) > 0).chain([none]).collect::<Vec<_>>()
    };
    if x.is_empty() { vec![] } else { axes(x).flat_map(at).collect() }
}

fn gathered_elements(op: &str, x: &[i64]) -> Vec<Case> {
    let at = |axis: i64| {
        let dims = with(x, axis, 2.min(size(x, axis)));
        let count: i64 = dims.iter().product();
        of(op, x).ints_shaped("i", &dims, &vec![-1; count as usize]).int("axis", axis)
    };
    ranked(x, at)
}

fn gathered_parts(op: &str, x: &[i64]) -> Vec<Case> {
    let mut cases = Vec::new();
    for depth in 1..=x.len().min(2) {
        cases.push(of(op, x).ints_shaped("i", &[0, depth as i64], &[]));
        if !is_empty(&x[..depth]) {
            cases.push(of(op, x).ints_shaped("i", &[1, 2, depth as i64], &vec![0; 2 * depth]));
        }
    }
    cases
}

fn scattered(op: &str, x: &[i64]) -> Vec<Case> {
    let at = |axis: i64| {
        let dims = with(x, axis, 1.min(size(x, axis)));
        let count: i64 = dims.iter().product();
        let it = of(op, x).ints_shaped("i", &dims, &vec![0; count as usize]).input("u", &dims);
        it.int("axis", axis)
    };
    ["none", "add", "mul", "max"]
        .iter()
        .flat_map(|r| ranked(x, |axis| at(axis).text("reduction", r)))
        .collect()
}

fn compressed(op: &str, x: &[i64]) -> Vec<Case> {
    ranked(x, |axis| of(op, x).bools("keep", &[1], &[size(x, axis) > 0]).int("axis", axis))
}

fn largest(op: &str, x: &[i64]) -> Vec<Case> {
    let at = |axis| {
        let k = Tensor::ints(&[1.min(size(x, axis))]);
        of(op, x).constant("k", k).int("axis", axis).outputs(2)
    };
    ranked(x, at)
}

fn triangles(op: &str, x: &[i64]) -> Vec<Case> {
    let at = |k: i64, upper| of(op, x).constant("k", Tensor::int(k)).int("upper", upper);
    if x.len() < 2 { vec![] } else { vec![at(0, 1), at(-1, 0), at(1, 1)] }
}

fn tiles(op: &str, x: &[i64]) -> Vec<Case> {
    [1, 2, 0].map(|n| of(op, x).ints_input("repeats", &vec![n; x.len()])).into()
}

fn expanded(op: &str, x: &[i64]) -> Vec<Case> {
    let wider = |n: i64| -> Vec<i64> { x.iter().map(|&d| if d == 1 { n } else { d }).collect() };
    let to = |dims: &[i64]| of(op, x).ints_input("shape", dims);
    vec![to(&wider(2)), to(&wider(0)), to(&[&[2], x].concat()), to(&[1])]
}

fn transposed(op: &str, x: &[i64]) -> Vec<Case> {
    let mut turned: Vec<i64> = (0..x.len() as i64).collect();
    turned.rotate_left(1.min(x.len()));
    vec![of(op, x), of(op, x).ints("perm", &turned)]
}

fn flattened(op: &str, x: &[i64]) -> Vec<Case> {
    let rank = x.len() as i64;
    (-rank..=rank).map(|axis| of(op, x).int("axis", axis)).collect()
}

fn reshaped(op: &str, x: &[i64]) -> Vec<Case> {
    let count: i64 = x.iter().product();
    let exact = of(op, x).ints_input("shape", &[1, count]).int("allowzero", 1);
    let mut cases = vec![exact, of(op, x).ints_input("shape", &[-1])];
    cases.extend((!x.is_empty()).then(|| of(op, x).ints_input("shape", &vec![0; x.len()])));
    cases.extend((x.len() > 1 && !is_empty(x)).then(|| of(op, x).ints_input("shape", &[0, -1])));
    cases
}

fn squeezed(op: &str, x: &[i64]) -> Vec<Case> {
    let ones: Vec<i64> = (0..x.len() as i64).filter(|&axis| size(x, axis) == 1).collect();
    let mut cases = vec![of(op, x)];
    cases.extend((!ones.is_empty()).then(|| of(op, x).ints_input("axes", &ones)));
    cases
}

fn unsqueezed(op: &str, x: &[i64]) -> Vec<Case> {
    [vec![0], vec![-1], vec![0, -1]].map(|axes| of(op, x).ints_input("axes", &axes)).into()
}

fn chosen_of<T>(all: &[T]) -> &[T] {
    if long() { all } else { &all[..2] }
}

/// The cases of an operator over the shapes.
fn cases(op: &str) -> Vec<Case> {
    let two = |pairs: &[(&[i64], &[i64])]| {
        let fmod = |it: Case| if op == "Mod" { it.int("fmod", 1) } else { it };
        let pair = |(a, b): &(&[i64], &[i64])| fmod(of(op, a).input("z", b).positive());
        pairs.iter().map(pair).collect()
    };
    let opset = |it: Case| match op {
        "Gelu" => it.opset(20),
        "Swish" => it.opset(24),
        _ => it,
    };
    match family(op) {
        Family::Unary(low, high) => {
            let unary = |x: &&[i64]| opset(of(op, x).within(low, high));
            chosen_of(SHAPES).iter().map(unary).collect()
        }
        Family::Binary => two(chosen_of(PAIRS)),
        Family::Under => {
            let under = |x: &&[i64]| of(op, x).input("z", &x[x.len().min(1)..]);
            chosen_of(SHAPES).iter().map(under).collect()
        }
        Family::Product => two(chosen_of(PRODUCTS)),
        Family::Any(make) => chosen_of(SHAPES).iter().flat_map(|x| make(op, x)).collect(),
        Family::Own => vec![],
    }
}

/// The case in tract, or where that lacks the operator, its type or empty tensors in another engine.
fn engine(case: Case) -> Case {
    let inputs = case.inputs();
    let empty = inputs.iter().any(|&input| case.floats(input).len() == 0);
    match case.op.as_str() {
        "Compress" | "CumProd" | "Expand" | "GatherND" | "Mod" => case.reference(),
        "Flatten" | "GlobalLpPool" | "GroupNormalization" | "MeanVarianceNormalization"
            if empty =>
        {
            case.f32().ort()
        }
        "GlobalLpPool" | "Mean" => case.f32().ort(),
        "Pad" if !empty && case.to_string().contains("mode") => case.reference(),
        "MatMul" if inputs.iter().all(|&input| case.floats(input).dims.len() == 1) => {
            case.reference()
        }
        _ if empty => case.reference(),
        "Erf"
        | "Gelu"
        | "GroupNormalization"
        | "HardSigmoid"
        | "HardSwish"
        | "InstanceNormalization"
        | "LayerNormalization"
        | "LeakyRelu"
        | "LpNormalization"
        | "MeanVarianceNormalization"
        | "Mish"
        | "RMSNormalization"
        | "Selu"
        | "Sigmoid"
        | "Softplus"
        | "Swish" => case.f32(),
        _ => case,
    }
}

/// Checks all cases, or that those of symbolic size are refused by name.
fn check_all(change: fn(Case) -> Case) {
    let ops = table().filter(|entry| entry.rule.is_some() && entry.domain.is_empty());
    for case in ops.flat_map(|entry| cases(entry.op)).map(change).map(engine) {
        if !case.is_refused() {
            case.check();
        }
    }
}

#[test]
fn every_rank_and_empty_axes() {
    check_all(|case| case);
}

#[test]
fn every_rank_and_empty_axes_of_symbolic_size() {
    check_all(Case::symbolic);
}
