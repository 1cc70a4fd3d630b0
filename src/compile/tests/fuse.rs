//! Fused steps: what they become, where they must not, and that they are the same map.

use super::*;

const CONSTANTS: &str = "double[2,2,3,3] w = {0.3,-0.2,0.5,0.1,-0.4,0.2,0.6,-0.1,0.25,-0.35,0.15,0.45,-0.55,\
    0.05,0.65,-0.15,0.35,-0.25,0.2,0.4,-0.6,0.3,0.1,-0.5,0.55,-0.05,0.15,-0.45,0.25,0.35,-0.3,0.5,-0.2,\
    0.6,0.1,-0.4}, double[2] b = {0.1,-0.2}, double[2] s = {0.5,-1.5}, double[2] t = {0.2,-0.1}, \
    double[2] m = {0.1,-0.3}, double[2] v = {1.2,0.7}, double[2,1,1] c = {0.5,-2}, \
    double[4] d = {1,-2,3,0.5}, double[1,2,1,1] k = {2,-0.5}";

/// The kinds of the linear steps of a model from `x` `[N, 2, 6, 6]` to `y`, whose weights and biases are
/// checked against central differences in both directions, and the sum of the terms of its bias.
#[track_caller]
fn steps(nodes: &str, wanted: &str) {
    let model = model("double[N,2,6,6]", "double[N,C,H,W]", CONSTANTS, nodes);
    let dims = [2, 2, 6, 6];
    check(&model, Batch::Axis(0), &dims, 2);
    let mut options = options(Batch::Axis(0), Direction::Reverse);
    options.emit = vec![Quantity::Bias, Quantity::BiasTerms];
    let (augmented, summary) = transform(model, &options).unwrap_or_else(|e| panic!("{e}"));
    let kinds: Vec<_> = summary.steps.iter().map(|step| step.kind).collect();
    assert_eq!(kinds.join(" "), wanted, "{nodes}");
    let outputs = run(&augmented, &dims, DataType::F64, &values(144));
    let (bias, terms) = (flat(&outputs["slp/l/bias"]), flat(&outputs["slp/l/bias-terms"]));
    let count = terms.len() / bias.len();
    for (bias, terms) in bias.iter().zip(terms.chunks(count.max(1))) {
        assert!((bias - terms.iter().sum::<f64>()).abs() < 1e-12, "{nodes}");
    }
}

#[test]
fn neighbouring_scales_become_one() {
    steps("h = Mul (x, c) y = Tanh (h)", "Scale");
    steps("h = Mul (x, c) g = Mul (h, k) y = Tanh (g)", "Scale");
    steps("r = Relu (x) h = Mul (r, c) y = Tanh (h)", "Scale");
}

#[test]
fn a_scale_that_something_else_reads_stays() {
    steps("h = Mul (x, c) g = Tanh (h) y = Add (g, h)", "Scale Scale Sum");
}

#[test]
fn a_scale_to_which_something_is_added_stays() {
    steps("h = Mul (x, c) a = Add (h, k) y = Tanh (a)", "Scale Scale");
}

#[test]
fn batch_normalisation_is_folded_into_the_kernel() {
    let folded = "h = Conv (x, w) n = BatchNormalization (h, s, t, m, v)";
    steps(&format!("{folded} y = Relu (n)"), "Conv Scale");
    // The bias of the convolution is between the two.
    steps("h = Conv (x, w, b) y = BatchNormalization (h, s, t, m, v)", "Conv Scale");
    // One number a column is none a channel.
    steps("h = Conv (x, w) y = Mul (h, d)", "Conv Scale");
}

#[test]
fn slopes_move_behind_the_pooling() {
    let pool = "MaxPool <kernel_shape=[3,3],strides=[2,2],pads=[1,1,0,0]>";
    steps(&format!("r = Relu (x) y = {pool} (r)"), "Winners");
    steps(&format!("h = Mul (x, c) p = {pool} (h) y = Tanh (p)"), "Winners");
    // Something is added to the slopes.
    steps(&format!("h = Tanh (x) y = {pool} (h)"), "Scale Winners");
    steps(&format!("h = Mul (x, c) y = {pool} (h)"), "Winners");
    // The other reader needs them where they are.
    steps(
        &format!("r = Relu (x) p = {pool} (r) g = Mul (r, c) q = {pool} (g) y = Add (p, q)"),
        "Scale Winners Winners Sum",
    );
}

#[test]
fn slopes_of_branches_join() {
    let branches = "r = Relu (x) h = Mul (x, c) j = Concat <axis=1> (r, h)";
    steps(&format!("{branches} y = MaxPool <kernel_shape=[2,2]> (j)"), "Concat Winners");
    steps(&format!("{branches} y = Tanh (j)"), "Concat Scale");
    // The sign of what is joined is that of all parts.
    let ends = "h = Conv <pads=[1,1,1,1]> (x, w) r = Relu (h) g = Conv <pads=[1,1,1,1]> (x, w, b) u = Relu (g)";
    let pooled = "y = AveragePool <kernel_shape=[2,2]> (j)";
    let joined = "Conv Conv Concat Scale WindowSums Scale";
    steps(&format!("{ends} j = Concat <axis=1> (r, u) {pooled}"), joined);
    // One part has another sign than what is joined, or none.
    let apart = "Conv Scale Conv Scale Concat WindowSums Scale";
    steps(&format!("{ends} o = Mul (u, c) j = Concat <axis=1> (r, o) {pooled}"), apart);
    // Nothing would be gained.
    steps(
        &format!("{branches} y = AveragePool <kernel_shape=[2,2]> (j)"),
        "Scale Scale Concat WindowSums Scale",
    );
}

/// `x` `[N, 512]` to 20 neurons by way of 512 units with an activation function.
fn perceptron(bias: f64, activation: &str) -> Model {
    let numbers = |count: usize, scale: f64| {
        let list: Vec<String> = values(count).iter().map(|v| format!("{:.3}", v * scale)).collect();
        list.join(",")
    };
    let constants = format!(
        "double[512,512] a = {{{}}}, double[512] b = {{{}}}, double[512,20] c = {{{}}}",
        numbers(512 * 512, 0.08),
        vec![bias.to_string(); 512].join(","),
        numbers(512 * 20, 1.0)
    );
    let nodes = format!("g = MatMul (x, a) h = Add (g, b) r = {activation} (h) y = MatMul (r, c)");
    model("double[N,512]", "double[N,20]", &constants, &nodes)
}

#[test]
fn units_that_are_off_take_no_part() {
    // Few are on, and all.
    for bias in [-0.6, 2.0] {
        let model = perceptron(bias, "Relu");
        let mut options = options(Batch::Axis(0), Direction::Reverse);
        options.emit.push(Quantity::BiasTerms);
        let (reverse, summary) = transform(model.clone(), &options).expect("it is transformed");
        let kinds: Vec<_> = summary.steps.iter().map(|step| step.kind).collect();
        assert_eq!(kinds, ["Gated", "MatMul"]);
        options.limits.direction = Some(Direction::Forward);
        let (forward, _) = transform(model, &options).expect("it is transformed");
        for samples in [1, 2] {
            let dims = [samples, 512];
            let x = values(samples * 512);
            let [found, wanted] = [&reverse, &forward].map(|m| run(m, &dims, DataType::F64, &x));
            for name in ["slp/l/weights", "slp/l/bias", "slp/l/bias-terms"] {
                let pairs = flat(&found[name]).into_iter().zip(flat(&wanted[name]));
                let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(off < 1e-12, "{bias} {samples} {name}: {off:e}");
            }
        }
    }
}

#[test]
fn units_that_are_never_off_and_small_layers_are_not_gathered() {
    let kinds = |model: &Model| -> Vec<_> {
        let options = options(Batch::Axis(0), Direction::Reverse);
        let (_, summary) = transform(model.clone(), &options).expect("it is transformed");
        summary.steps.iter().map(|step| step.kind).collect()
    };
    assert_eq!(kinds(&perceptron(0.0, "Tanh")), ["MatMul", "Scale", "MatMul"]);
    let constants = "double[3,4] a = {1,2,3,4,5,6,7,8,9,10,11,12}, double[4,1] c = {1,2,3,4}";
    let nodes = "h = MatMul (x, a) r = Relu (h) y = MatMul (r, c)";
    let small = model("double[N,3]", "double[N,1]", constants, nodes);
    assert_eq!(kinds(&small), ["MatMul", "Scale", "MatMul"]);
}
