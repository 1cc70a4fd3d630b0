//! Rows computed through windows, and forward with colours: small receptive fields in large inputs, against
//! central differences and against the forward direction without colours, which knows no windows.

use super::*;
use crate::compile::Summary;
use crate::compile::plan::Limits;

/// What every model here may name.
const WEIGHTS: &str = "float[3,2,3,3] w = {0.3,-0.2,0.5,0.1,-0.4,0.2,0.6,-0.1,0.25,-0.35,0.15,0.45,\
    -0.55,0.05,0.65,-0.15,0.35,-0.25,0.2,0.4,-0.6,0.3,0.1,-0.5,0.55,-0.05,0.15,-0.45,0.25,0.35,-0.3,\
    0.5,-0.2,0.6,0.1,-0.4,0.45,-0.15,0.3,-0.55,0.2,0.05,0.4,-0.35,0.65,0.1,-0.25,0.5,-0.6,0.15,0.3,\
    -0.1,0.2,0.35}, float[3] b = {0.1,-0.2,0.3}, float[2,3,2,2] v = {0.2,-0.3,0.4,0.1,-0.5,0.3,0.15,\
    0.25,-0.35,0.45,0.05,-0.2,0.3,0.1,-0.25,0.4,0.2,-0.15,0.35,0.5,-0.1,0.3,-0.4,0.15}, \
    float[3,1,3,3] each = {0.3,-0.2,0.5,0.1,-0.4,0.2,0.6,-0.1,0.25,-0.35,0.15,0.45,-0.55,0.05,0.65,\
    -0.15,0.35,-0.25,0.2,0.4,-0.6,0.3,0.1,-0.5,0.55,-0.05,0.15}, float[3,1,1] s = {0.5,-1.5,2}, \
    float[3,1,1] t = {0.2,-0.1,0.4}, int64[8] rim = {0,0,1,2,0,0,0,1}, int64[8] more = {0,1,0,0,0,1,0,0}, \
    int64[2] zero = {0,0}, int64[2] end = {100,100}, int64[2] hw = {2,3}, int64[2] two = {2,2}, \
    int64[2] one = {1,2}, float[1] half = {0.5}";

fn double(nodes: &str) -> Model {
    let constants = WEIGHTS.replace("float[", "double[");
    model("double[N,2,13,12]", "double[N,C,H,W]", &constants, nodes)
}

/// A road to the rows.
#[derive(Clone, Copy, Debug)]
enum Road {
    /// Back through windows.
    Windows,
    /// Forward, a seed a colour.
    Colours,
    /// Forward, a seed an input component.
    Dense,
}

fn request(neurons: &str, road: Road) -> Options {
    let mut options = options(Batch::Axis(0), Direction::Forward);
    match road {
        Road::Windows => options.limits.direction = Some(Direction::Reverse),
        Road::Colours => {}
        Road::Dense => options.limits.dense = true,
    }
    options.neurons = Some(neurons.parse().expect("a choice"));
    options
}

fn chosen(model: &Model, neurons: &str, road: Road) -> (Model, Summary) {
    let made = transform(model.clone(), &request(neurons, road));
    made.unwrap_or_else(|error| panic!("{error}"))
}

/// Checks a layer `y` whose neurons see `seen` of the input, along each axis.
#[track_caller]
fn local(nodes: &str, seen: [i64; 2]) {
    let model = double(nodes);
    let (_, summary) = chosen(&model, "all", Road::Windows);
    assert_eq!(summary.plan.forward_seeds, Some(2 * seen[0] * seen[1]), "{nodes}: colours");
    let input = crate::compile::linear::VarId(0);
    let windows = summary.plan.sights[0].windows(input).expect("the input is seen through windows");
    assert_eq!([windows[0].length, windows[1].length], seen, "{nodes}");
    for samples in [1, 2] {
        let dims = [samples, 2, 13, 12];
        let x = values(dims.iter().product());
        let outputs =
            |neurons, road| run(&chosen(&model, neurons, road).0, &dims, DataType::F64, &x);
        let neurons = ["all", "top:5", "0,7,30,31", "[1,:,0..1]", "[:,1,1]", "[:,0..1,1]"];
        for neurons in neurons {
            let wanted = outputs(neurons, Road::Dense);
            for road in [Road::Windows, Road::Colours] {
                same(&outputs(neurons, road), &wanted, &format!("{nodes} {neurons} {road:?}"));
            }
        }
    }
}

#[track_caller]
fn same(found: &HashMap<String, Array>, wanted: &HashMap<String, Array>, what: &str) {
    for (name, wanted) in wanted {
        assert_eq!(found[name].shape(), wanted.shape(), "{what} {name}");
        let pairs = flat(&found[name]).into_iter().zip(flat(wanted));
        let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-12, "{what} {name}: {off:e}");
    }
}

#[test]
fn convolutions_of_every_geometry() {
    local("y = Conv (x, w, b)", [3, 3]);
    local("y = Conv <pads=[1,1,1,1]> (x, w, b)", [3, 3]);
    local("y = Conv <pads=[2,0,1,3]> (x, w, b)", [3, 3]);
    local("y = Conv <strides=[2,3]> (x, w)", [3, 3]);
    local("y = Conv <strides=[3,1],pads=[0,2,2,1]> (x, w, b)", [3, 3]);
    local("y = Conv <dilations=[2,3],pads=[2,3,2,3]> (x, w, b)", [5, 7]);
    local("y = Conv <auto_pad=\"SAME_LOWER\",strides=[2,2]> (x, w, b)", [3, 3]);
}

#[test]
fn deep_and_grouped_convolutions() {
    let two = "h = Conv <pads=[1,1,1,1]> (x, w, b) r = Relu (h)";
    local(&format!("{two} y = Conv <strides=[2,2]> (r, v)"), [4, 4]);
    local(&format!("{two} y = Conv <group=3,pads=[1,0,1,0]> (r, each, b)"), [5, 5]);
    local(&format!("{two} y = Tanh (h)"), [3, 3]);
    local(&format!("{two} s1 = Mul (h, s) y = Add (s1, t)"), [3, 3]);
    local(&format!("{two} s1 = Add (h, half) y = Conv (s1, v)"), [4, 4]);
    local(&format!("{two} s1 = Mul (h, s) q = Tanh (s1) y = Conv (q, v)"), [4, 4]);
}

#[test]
fn poolings() {
    let conv = "h = Conv <pads=[1,1,1,1]> (x, w, b) r = Relu (h)";
    for (pool, seen) in [
        ("MaxPool <kernel_shape=[2,2],strides=[2,2]>", [4, 4]),
        ("MaxPool <kernel_shape=[3,2],strides=[2,2],pads=[1,0,1,1]>", [5, 4]),
        ("MaxPool <kernel_shape=[2,2],strides=[2,2],ceil_mode=1>", [4, 4]),
        ("MaxPool <kernel_shape=[2,3],dilations=[2,1]>", [5, 5]),
        ("AveragePool <kernel_shape=[2,2],strides=[2,1]>", [4, 4]),
        ("AveragePool <kernel_shape=[3,3],pads=[1,1,1,1]>", [5, 5]),
        (
            "AveragePool <kernel_shape=[3,3],pads=[1,1,1,1],strides=[2,2],count_include_pad=1>",
            [5, 5],
        ),
    ] {
        local(&format!("{conv} y = {pool} (r)"), seen);
    }
    let pooled = "p = MaxPool <kernel_shape=[2,2],strides=[2,2]> (r)";
    local(&format!("{conv} {pooled} y = Conv (p, v)"), [6, 6]);
    local(&format!("{conv} {pooled} q = Exp (p) y = Conv <pads=[1,1,0,0]> (q, v)"), [6, 6]);
}

/// Checks a layer `y` `[N, C]` behind the mean over space, whose neurons see one channel up to `seen`.
#[track_caller]
fn one_channel(nodes: &str, seen: usize) {
    let constants = WEIGHTS.replace("float[", "double[")
        + ", double[3,2,1,1] mix = {0.3,-0.2,0.5,0.1,-0.4,0.2}, int64[2] end2 = {2,3}";
    let model = model("double[N,2,13,12]", "double[N,C]", &constants, nodes);
    let (_, summary) = chosen(&model, "all", Road::Windows);
    let vars = (0..).map(crate::compile::linear::VarId).take(20);
    let found = vars.filter(|&var| summary.plan.sights[0].one_channel(var)).count();
    assert_eq!(found, seen, "{nodes}");
    for (samples, neurons) in [(1, "all"), (2, "all"), (2, "top:2"), (1, "2,0")] {
        let dims = [samples, 2, 13, 12];
        let x = values(dims.iter().product());
        let outputs = |road| run(&chosen(&model, neurons, road).0, &dims, DataType::F64, &x);
        same(&outputs(Road::Windows), &outputs(Road::Dense), nodes);
    }
}

#[test]
fn means_over_space_and_convolutions_of_one_element() {
    for (pool, seen) in
        [("GlobalAveragePool (r)", 5), ("GlobalMaxPool (r)", 4), ("ReduceMean (r, end2)", 5)]
    {
        let head = format!("g = {pool} y = Flatten (g)");
        one_channel(&format!("h = Conv (x, mix, b) r = Relu (h) {head}"), seen);
        one_channel(&format!("h = Conv (x, w, b) r = Relu (h) {head}"), seen);
    }
}

#[test]
fn branches_join_in_the_wider_window() {
    let conv = "h = Conv <pads=[1,1,1,1]> (x, w, b) r = Relu (h)";
    local(&format!("{conv} g = Conv <group=3,pads=[1,1,1,1]> (r, each) y = Add (g, h)"), [5, 5]);
    local(
        &format!(
            "{conv} g = Conv <group=3,pads=[1,1,1,1]> (r, each) a = Add (g, h) q = Relu (a) y = Conv (q, v)"
        ),
        [6, 6],
    );
    local(&format!("{conv} g = Tanh (h) y = Concat <axis=1> (r, g)"), [3, 3]);
    local(&format!("{conv} g = Mul (r, h) y = Conv (g, v)"), [4, 4]);
}

#[test]
fn cuts_and_borders() {
    let conv = "h = Conv (x, w, b) r = Relu (h)";
    local(&format!("{conv} p = Pad (r, rim) y = Conv (p, v)"), [4, 4]);
    local("p = Pad (x, more) c = Slice (p, one, end, hw, two) y = Conv (x, w)", [3, 3]);
    local(&format!("{conv} c = Slice (r, one, end, hw) y = Conv (c, v)"), [4, 4]);
    local(&format!("{conv} c = Slice (r, zero, end, hw, two) y = Conv (c, v)"), [5, 5]);
}

#[test]
fn neurons_given_at_run_time() {
    let nodes = "h = Conv <pads=[1,1,1,1]> (x, w, b) r = Relu (h) y = Conv <strides=[2,2]> (r, v)";
    let model = double(nodes);
    let dims = vec![2, 2, 13, 12];
    let x = ArrayD::from_shape_vec(IxDyn(&dims), values(dims.iter().product())).unwrap();
    let flat: Vec<f64> = x.iter().copied().collect();
    let wanted = run(&chosen(&model, "5,71,71", Road::Dense).0, &dims, DataType::F64, &flat);
    for road in [Road::Windows, Road::Colours] {
        let bytes = onnx::to_bytes(&chosen(&model, "runtime", road).0).unwrap();
        let shapes = [("x".to_owned(), dims.clone()), ("slp/l/neurons".to_owned(), vec![3])];
        let session = Session::new(&bytes, &shapes).unwrap_or_else(|error| panic!("{error}"));
        let numbers = ArrayD::from_shape_vec(IxDyn(&[3]), vec![5i64, -1, 71]).unwrap();
        let inputs = [("x", Array::F64(x.clone())), ("slp/l/neurons", Array::I64(numbers))];
        let found: HashMap<_, _> = session.run(&inputs).unwrap().into_iter().collect();
        same(&found, &wanted, &format!("{nodes} {road:?}"));
    }
}

/// Checks all neurons of some layers, at once and a few at a time, with and without colours.
#[track_caller]
fn in_blocks(layers: &[&str], neurons: &str, nodes: &str, colours: i64) {
    let model = double(nodes);
    let outputs = |block, dense| {
        let mut options = request(neurons, if dense { Road::Dense } else { Road::Colours });
        options.layers =
            layers.iter().map(|w| LayerRequest { alias: None, what: (*w).into() }).collect();
        options.emit = Quantity::DEFAULT.to_vec();
        options.limits.block = block;
        let (made, summary) = transform(model.clone(), &options).unwrap_or_else(|e| panic!("{e}"));
        if !dense {
            assert_eq!(summary.plan.forward_seeds, Some(colours), "{nodes}");
        }
        // One over the seeds, and one over the neurons of each layer.
        let scans = made.graph.nodes().filter(|(_, node)| node.is("Scan")).count();
        assert_eq!(scans, block.map_or(0, |_| 1 + layers.len()), "{nodes}");
        let dims = [2, 2, 13, 12];
        run(&made, &dims, DataType::F64, &values(dims.iter().product()))
    };
    let wanted = outputs(None, true);
    for (block, dense) in [(None, false), (Some(7), false), (Some(4), true)] {
        same(&outputs(block, dense), &wanted, &format!("{nodes} {neurons} {block:?} {dense}"));
    }
}

#[test]
fn layers_share_colours_and_come_in_blocks() {
    let two = "h = Conv <pads=[1,1,1,1],strides=[2,1]> (x, w, b) r = Relu (h) y = Conv (r, v)";
    in_blocks(&["y"], "all", two, 2 * 5 * 4);
    in_blocks(&["h", "y"], "0..11,20,60", two, 2 * 5 * 4);
    in_blocks(&["h", "y"], "top:9", two, 2 * 5 * 4);
    in_blocks(&["h"], "all", two, 2 * 3 * 3);
}

#[test]
fn each_layer_takes_the_direction_that_is_faster_for_it() {
    let numbers = |count| values(count).iter().map(f64::to_string).collect::<Vec<_>>().join(",");
    let constants = format!(
        "double[16,1,3,3] w = {{{}}}, double[16,16,3,3] v = {{{}}}",
        numbers(144),
        numbers(2304)
    );
    let nodes =
        "h = Conv (x, w) r = Relu (h) y = Conv (r, v) u = Tanh (y) z = GlobalAveragePool (u)";
    let model = model("double[N,1,14,14]", "double[N,C,H,W]", &constants, nodes);
    let made = |direction, block| {
        let mut options = options(Batch::Axis(0), Direction::Forward);
        options.limits = Limits { direction, block, ..Limits::default() };
        options.layers =
            ["z", "y", "h"].map(|w| LayerRequest { alias: None, what: w.into() }).into();
        options.emit = Quantity::DEFAULT.to_vec();
        transform(model.clone(), &options).unwrap_or_else(|e| panic!("{e}"))
    };
    let dims = [2, 1, 14, 14];
    let outputs = |model: &Model| run(model, &dims, DataType::F64, &values(2 * 14 * 14));
    let wanted = outputs(&made(Some(Direction::Reverse), None).0);
    for block in [None, Some(90)] {
        let (mixed, Summary { plan, .. }) = made(None, block);
        assert_eq!(plan.direction(), None, "{:?}", plan.seconds);
        let (reverse, forward) = (Direction::Reverse, Direction::Forward);
        assert_eq!(plan.directions, [reverse, forward, forward]);
        assert_eq!(plan.forward_seeds, Some(5 * 5), "the colours of y");
        let (back, ahead, planned) = plan.seconds;
        assert!(planned < back.min(ahead), "{:?}", plan.seconds);
        let note = |key: &str| {
            let found = mixed.metadata.iter().find(|(name, _)| name == key);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(note("slpc.direction"), Some("mixed"));
        assert_eq!(note("slpc.layer.y.direction"), Some("forward"));
        same(&outputs(&mixed), &wanted, &format!("{block:?}"));
    }
}

#[test]
fn a_layer_that_sees_everything_leaves_no_colours() {
    let nodes = "h = Conv (x, w, b) r = Relu (h) y = GlobalAveragePool (r)";
    let summary = |layers: &[&str]| {
        let mut options = request("0,1", Road::Colours);
        options.layers =
            layers.iter().map(|w| LayerRequest { alias: None, what: (*w).into() }).collect();
        transform(double(nodes), &options).unwrap_or_else(|e| panic!("{e}")).1.plan
    };
    assert_eq!(summary(&["h"]).forward_seeds, Some(18));
    for layers in [&["y"][..], &["h", "y"]] {
        let plan = summary(layers);
        assert!(plan.colours.is_none());
        assert_eq!(plan.forward_seeds, Some(2 * 13 * 12));
    }
}

#[test]
fn one_and_three_axes_of_space() {
    let weights = "double[2,2,3] w = {0.3,-0.2,0.5,0.1,-0.4,0.2,0.6,-0.1,0.25,-0.35,0.15,0.45}";
    let line = model(
        "double[N,2,17]",
        "double[N,2,L]",
        weights,
        "h = Conv <pads=[1,1]> (x, w) r = Relu (h) p = MaxPool <kernel_shape=[2],strides=[2]> (r) y = Conv <pads=[1,0]> (p, w)",
    );
    check(&line, Batch::Axis(0), &[2, 2, 17], 2);
    let weights = "double[2,1,2,2,2] w = {0.3,-0.2,0.5,0.1,-0.4,0.2,0.6,-0.1,0.25,-0.35,0.15,0.45,0.7,-0.3,0.2,0.4}";
    let cube = model(
        "double[N,1,5,4,4]",
        "double[N,2,D,H,W]",
        weights,
        "h = Conv <pads=[1,0,0,0,0,1]> (x, w) y = Relu (h)",
    );
    check(&cube, Batch::Axis(0), &[2, 1, 5, 4, 4], 2);
}

#[test]
fn fully_connected_rows_are_taken_from_the_weights() {
    let weights = "double[4,3] a = {0.3,-0.2,0.5,0.1,-0.4,0.2,0.6,-0.1,0.25,-0.35,0.15,0.45}, \
                   double[2,3] g = {0.5,-0.3,0.2,0.4,0.1,-0.6}";
    let nodes = "h = MatMul (x, a) r = Tanh (h) y = Gemm <transB=1> (r, g)";
    let network = model("double[N,4]", "double[N,2]", weights, nodes);
    check(&network, Batch::Axis(0), &[3, 4], 3);
    let (augmented, _) = chosen(&network, "0", Road::Windows);
    let products = augmented.graph.nodes().filter(|(_, n)| n.is("MatMul") || n.is("Gemm")).count();
    assert!(products < 6, "{products} products");
}

/// Large windows are placed in groups of elements: every row is the kernel at its place.
#[test]
fn large_windows_come_to_lie_where_they_belong() {
    let numbers = values(64 * 64);
    let list: Vec<String> = numbers.iter().map(f64::to_string).collect();
    let kernel = format!("double[1,1,64,64] k = {{{}}}", list.join(","));
    for (strides, begin) in [([32, 48], [0, 0]), ([64, 24], [7, 19]), ([5, 64], [0, 33])] {
        let pads = format!("[{},{},0,40]", begin[0], begin[1]);
        let nodes =
            format!("y = Conv <strides=[{},{}],pads={pads}> (x, k)", strides[0], strides[1]);
        let model = model("double[1,1,256,288]", "double[1,1,H,W]", &kernel, &nodes);
        let (augmented, summary) = chosen(&model, "all", Road::Windows);
        let input = crate::compile::linear::VarId(0);
        assert!(summary.plan.sights[0].windows(input).is_some(), "{nodes}");
        let dims = [1, 1, 256, 288];
        let outputs = run(&augmented, &dims, DataType::F64, &values(256 * 288));
        let rows = &outputs["slp/l/weights"];
        let columns = (288 + begin[1] + 40 - 64) / strides[1] + 1;
        for (neuron, row) in flat(rows).chunks(256 * 288).enumerate() {
            let (top, left) = (neuron / columns * strides[0], neuron % columns * strides[1]);
            let wanted = |i: usize| {
                let (y, x) = (i / 288 + begin[0], i % 288 + begin[1]);
                let inside = (top..top + 64).contains(&y) && (left..left + 64).contains(&x);
                if inside { numbers[(y - top) * 64 + x - left] } else { 0.0 }
            };
            let equal = row.iter().enumerate().all(|(i, &found)| found == wanted(i));
            assert!(equal, "{nodes}: neuron {neuron}");
        }
    }
}
