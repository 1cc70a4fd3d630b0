//! Neurons a block at a time give what all at once give.

use super::*;
use crate::graph::{Attr, Tensor};

const WEIGHTS: &str = "double[3,2,3,3] w = {0.3,-0.2,0.5,0.1,-0.4,0.2,0.6,-0.1,0.25,-0.35,0.15,0.45,\
    -0.55,0.05,0.65,-0.15,0.35,-0.25,0.2,0.4,-0.6,0.3,0.1,-0.5,0.55,-0.05,0.15,-0.45,0.25,0.35,-0.3,\
    0.5,-0.2,0.6,0.1,-0.4,0.45,-0.15,0.3,-0.55,0.2,0.05,0.4,-0.35,0.65,0.1,-0.25,0.5,-0.6,0.15,0.3,\
    -0.1,0.2,0.35}, double[3] b = {0.1,-0.2,0.3}, double[48,5] a";

fn network(batch: Batch) -> Model {
    let numbers: Vec<String> = values(240).iter().map(f64::to_string).collect();
    let constants = format!("{WEIGHTS} = {{{}}}", numbers.join(","));
    let nodes = "h = Conv <pads=[1,1,1,1],strides=[2,2]> (x, w, b) r = Relu (h) f = Flatten (r) \
                 t = MatMul (f, a) y = Tanh (t)";
    let samples = if matches!(batch, Batch::None) { "1" } else { "N" };
    let (x, y) = (format!("double[{samples},2,8,8]"), format!("double[{samples},5]"));
    model(&x, &y, &constants, nodes)
}

fn augmented(layers: &[&str], neurons: &str, block: Option<i64>, batch: Batch) -> Model {
    let mut options = options(batch, Direction::Reverse);
    let request = |name: &&str| LayerRequest { alias: None, what: (*name).to_owned() };
    options.layers = layers.iter().map(request).collect();
    options.neurons = Some(neurons.parse().expect("a choice"));
    options.emit = Quantity::DEFAULT.to_vec();
    options.emit.push(Quantity::BiasTerms);
    options.limits.block = block;
    transform(network(batch), &options).unwrap_or_else(|error| panic!("{error}")).0
}

/// The number of Scans, whose bodies read every constant and capture, and where nothing has the name of a value
/// around it, as ONNX demands.
fn scans(model: &Model) -> usize {
    let graph = &model.graph;
    let scans: Vec<_> = graph.nodes().filter(|(_, node)| node.is("Scan")).collect();
    for (_, scan) in &scans {
        let Some(Attr::Graph(body)) = scan.attr("body") else { panic!("a Scan without a body") };
        for (_, value) in body.values().filter(|(id, _)| body.producer(*id).is_some()) {
            let around = graph.find(&value.name).filter(|id| !graph.outputs.contains(id));
            assert!(around.is_none(), "{} is a value inside and around", value.name);
        }
        for (id, value) in body.values().filter(|(id, _)| !body.inputs.contains(id)) {
            let read = body.is_used(id) || body.outputs.contains(&id);
            assert!(read, "nothing reads {}", value.name);
        }
    }
    scans.len()
}

#[track_caller]
fn same(layers: &[&str], neurons: &str, block: i64, batch: Batch) {
    let whole = augmented(layers, neurons, None, batch);
    let blocked = augmented(layers, neurons, Some(block), batch);
    assert_eq!((scans(&whole), scans(&blocked)), (0, layers.len()));
    let names = |model: &Model| -> Vec<(String, Vec<Dim>)> {
        let value = |&id| model.graph.value(id);
        let outputs = model.graph.outputs.iter().map(value);
        outputs.map(|v| (v.name.clone(), v.dims().expect("a known rank"))).collect()
    };
    assert_eq!(names(&blocked), names(&whole));
    assert_eq!(blocked.graph.inputs.len(), whole.graph.inputs.len());
    for samples in if matches!(batch, Batch::None) { [1, 1] } else { [1, 3] } {
        let dims = [samples, 2, 8, 8];
        let x = values(dims.iter().product());
        let wanted = run(&whole, &dims, DataType::F64, &x);
        let found = run(&blocked, &dims, DataType::F64, &x);
        for (name, wanted) in &wanted {
            assert_eq!(found[name].shape(), wanted.shape(), "{name}");
            let pairs = flat(&found[name]).into_iter().zip(flat(wanted));
            let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 1e-12, "{neurons} in {block}: {name} {off:e}");
        }
    }
}

#[test]
fn of_every_choice_and_size() {
    for block in [1, 5, 16, 47] {
        same(&["h"], "all", block, Batch::Axis(0));
    }
    same(&["y"], "all", 2, Batch::Axis(0));
    same(&["h"], "0,3,9..20,47", 4, Batch::Axis(0));
    same(&["h"], "top:7", 3, Batch::Axis(0));
    same(&["y"], "top:4", 2, Batch::Axis(0));
}

#[test]
fn without_a_batch() {
    same(&["h"], "all", 12, Batch::None);
    same(&["y"], "top:3", 2, Batch::None);
}

#[test]
fn of_several_layers() {
    same(&["h", "t"], "0,2,4", 2, Batch::Axis(0));
}

#[test]
fn of_a_layer_before_another() {
    let mut request = options(Batch::Axis(0), Direction::Reverse);
    request.layers = ["y", "s"].map(|what| LayerRequest { alias: None, what: what.into() }).into();
    request.neurons = Some("all".parse().expect("a choice"));
    request.limits.block = Some(2);
    let nodes = "p = MaxPool <kernel_shape=[1,2],strides=[1,2]> (x) s = SpaceToDepth <blocksize=2> (p) \
                 y = MatMul (s, w)";
    let weights = "double[1,2] w = {0.5,-0.25}";
    let pooled = model("double[N,2,4,4]", "double[N,8,2,2]", weights, nodes);
    let (blocked, _) = transform(pooled, &request).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(scans(&blocked), 2, "each in a Scan of its own");
}

#[test]
fn the_forward_pass_is_not_repeated() {
    let blocked = augmented(&["t"], "all", Some(2), Batch::Axis(0));
    let (_, scan) = blocked.graph.nodes().find(|(_, node)| node.is("Scan")).expect("a Scan");
    let body = scan.subgraphs().next().expect("a body");
    assert!(body.nodes().all(|(_, node)| !matches!(node.op.as_str(), "Conv" | "Relu" | "Greater")));
}

#[test]
fn memory_decides_the_size() {
    let mut options = options(Batch::Axis(0), Direction::Reverse);
    options.layers[0].what = "h".to_owned();
    let plan = |options: &Options| transform(network(Batch::Axis(0)), options).map(|(_, s)| s.plan);
    let whole = plan(&options).unwrap();
    assert_eq!(whole.blocks, [None]);
    options.limits.memory = Some(whole.memory - 1);
    let blocked = plan(&options).unwrap();
    let size = blocked.blocks[0].expect("blocks");
    assert!((1..48).contains(&size) && blocked.memory < whole.memory, "{size}");
    options.limits.memory = Some(1000);
    let error = plan(&options).unwrap_err().to_string();
    assert!(error.contains("--memory 1.0 kB"), "{error}");
}

/// The bias of a network without constants is zero for every neuron, whichever its block.
#[test]
fn of_a_network_without_a_bias() {
    let outputs = |block: Option<i64>| {
        let mut options = options(Batch::Axis(0), Direction::Reverse);
        options.layers[0].what = "y".to_owned();
        options.limits.block = block;
        options.emit = Quantity::DEFAULT.to_vec();
        options.emit.push(Quantity::BiasTerms);
        let network = model("double[N,7]", "double[N,7]", "double one = {1}", "y = Relu (x)");
        let (model, _) = transform(network, &options).unwrap();
        assert_eq!(scans(&model), usize::from(block.is_some()));
        let outputs = run(&model, &[3, 7], DataType::F64, &values(21));
        let shapes = outputs.iter().map(|(name, array)| (name.clone(), array.shape().to_vec()));
        shapes.collect::<std::collections::BTreeMap<_, _>>()
    };
    assert_eq!(outputs(Some(2)), outputs(None));
}

/// Of rows that come in blocks the singular patterns are those of all rows at once.
#[test]
fn singular_patterns_of_all_blocks_together() {
    let augmented = |layers: &[&str], block, batch, emit: &[Quantity]| {
        let mut options = options(batch, Direction::Reverse);
        let request = |name: &&str| LayerRequest { alias: None, what: (*name).to_owned() };
        options.layers = layers.iter().map(request).collect();
        options.neurons = Some("all".parse().unwrap());
        options.emit = emit.to_vec();
        options.limits.block = block;
        transform(network(batch), &options).unwrap_or_else(|error| panic!("{error}")).0
    };
    use Quantity::{Activity, Icd, Mixing, Patterns, Power, SingularValues};
    let few = [Patterns, SingularValues];
    let all = [Activity, Icd, Patterns, SingularValues, Mixing, Power];
    for (layers, block, batch, emit) in [
        (&["h"][..], 7, Batch::Axis(0), &few[..]),
        (&["h"], 16, Batch::Axis(0), &all),
        (&["h"], 16, Batch::None, &all),
        (&["h", "t"], 3, Batch::Axis(0), &all),
    ] {
        let whole = augmented(layers, None, batch, emit);
        let blocked = augmented(layers, Some(block), batch, emit);
        assert_eq!(scans(&blocked) - scans(&whole), layers.len());
        let names = |model: &Model| {
            let outputs = model.graph.outputs.iter().map(|&id| model.graph.value(id));
            let mut names: Vec<_> = outputs.map(|v| (v.name.clone(), v.dims())).collect();
            names.sort_by(|a, b| a.0.cmp(&b.0));
            names
        };
        assert_eq!(names(&blocked), names(&whole));
        let samples = if matches!(batch, Batch::None) { 1 } else { 2 };
        let dims = [samples, 2, 8, 8];
        let x = values(dims.iter().product());
        let found = run(&blocked, &dims, DataType::F64, &x);
        for (name, wanted) in &run(&whole, &dims, DataType::F64, &x) {
            let pairs = flat(&found[name]).into_iter().zip(flat(wanted));
            let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 1e-9, "{layers:?} in {block}: {name} {off:e}");
        }
    }
}

/// What is held of all rows counts, though they come in blocks.
#[test]
fn patterns_in_blocks_are_refused_where_the_rows_do_not_fit() {
    let mut options = options(Batch::Axis(0), Direction::Reverse);
    options.layers[0].what = "h".to_owned();
    options.emit = vec![Quantity::Patterns];
    let plan = |options: &Options| transform(network(Batch::Axis(0)), options).map(|(_, s)| s.plan);
    let whole = plan(&options).unwrap();
    options.limits.memory = Some(whole.memory - 1);
    let blocked = plan(&options).unwrap();
    assert!(blocked.blocks[0].is_some() && blocked.memory < whole.memory);
    // 48 rows of 128 numbers of 4 bytes.
    options.limits.memory = Some(48 * 128 * 4);
    let error = plan(&options).unwrap_err().to_string();
    assert!(error.contains("these neurons need"), "{error}");
}

/// Kernels that move into the Scan leave places in the graph, which are filled in the same order in every run.
#[test]
fn the_bytes_are_the_same_in_every_run() {
    let list = |count| values(count).iter().map(f64::to_string).collect::<Vec<_>>().join(",");
    let constants = format!(
        "double[32,32,2,1] w = {{{}}}, double[32,1,1] s = {{{}}}, double[1] t = {{3}}",
        list(2048),
        list(32)
    );
    let nodes = "a = Conv (x, w) b = Mul (a, s) c = Relu (b) d = Conv (c, w) e = Mul (d, t) \
                 f = Relu (e) g = Conv (f, w) y = Mul (g, s)";
    let model = model("double[N,32,4,2]", "double[N,32,1,2]", &constants, nodes);
    let mut options = options(Batch::Axis(0), Direction::Reverse);
    options.limits.block = Some(2);
    let augmented = || transform(model.clone(), &options).unwrap().0;
    let first = augmented();
    let (_, scan) = first.graph.nodes().find(|(_, node)| node.is("Scan")).expect("a Scan");
    let body = scan.subgraphs().next().expect("its body");
    let moved = |id| body.producer(id).is_some() && body.value(id).name.ends_with(":block");
    assert!(body.values().filter(|(id, _)| moved(*id)).count() > 3);
    let bytes = |model: &Model| crate::onnx::to_bytes(model).unwrap();
    for _ in 0..8 {
        assert!(bytes(&augmented()) == bytes(&first));
    }
}

/// Each block reads the weights again, so that heavy ones make it larger.
#[test]
fn of_heavy_weights_are_larger() {
    let block = |inputs: i64| {
        let nodes = "h = MatMul (x, a) t = Tanh (h) y = MatMul (t, c)";
        let constants = "float a = {0}, float c = {0}";
        let mut network = model(&format!("float[N,{inputs}]"), "float[N,300]", constants, nodes);
        for (name, dims) in [("a", [inputs, 65_536]), ("c", [65_536, 300])] {
            let id = network.graph.find(name).expect("it is there");
            let zeros = vec![0; (dims[0] * dims[1] * 4) as usize];
            let tensor = Tensor::new(DataType::F32, dims.to_vec(), zeros);
            let value = network.graph.value_mut(id);
            value.facts = crate::compile::infer::of_tensor(&tensor).into();
            value.tensor = Some(tensor.into());
        }
        let (_, summary) =
            transform(network, &options(Batch::Axis(0), Direction::Reverse)).unwrap();
        summary.plan.blocks[0].expect("more than a cache holds")
    };
    let (light, heavy) = (block(2), block(128));
    assert!(light < heavy && heavy < 300, "{light} {heavy}");
}

/// Of one sample, the body of a Scan gives what computes the rows, and takes no part that it does not read.
#[test]
fn what_the_body_gives_and_takes() {
    let numbers: Vec<String> = values(240).iter().map(f64::to_string).collect();
    let constants = format!("{WEIGHTS} = {{{}}}", numbers.join(","));
    let nodes = "h = Conv <pads=[1,1,1,1],strides=[2,2]> (x, w, b) r = Relu (h) f = Flatten (r) \
                 y = MatMul (f, a)";
    let network = model("double[1,2,8,8]", "double[1,5]", &constants, nodes);
    let augmented = |emit: &[Quantity], block: Option<i64>| {
        let mut options = options(Batch::Axis(0), Direction::Reverse);
        options.emit = emit.to_vec();
        options.limits.block = block;
        transform(network.clone(), &options).unwrap_or_else(|error| panic!("{error}")).0
    };
    let outputs = |model: &Model| run(model, &[1, 2, 8, 8], DataType::F64, &values(128));
    for (emit, parts) in [(&[Quantity::Weights][..], 1), (&[Quantity::Icd], 2)] {
        let (whole, blocked) = (augmented(emit, None), augmented(emit, Some(2)));
        let (_, scan) = blocked.graph.nodes().find(|(_, node)| node.is("Scan")).expect("a Scan");
        assert_eq!(scan.int("num_scan_inputs").unwrap(), Some(parts), "{emit:?}");
        let body = scan.subgraphs().next().expect("a body");
        let last = body.producer(body.outputs[0]).map(|id| body.node(id).op.as_str());
        assert!(last.is_some_and(|op| !matches!(op, "Reshape" | "Identity")), "{emit:?}: {last:?}");
        let (found, wanted) = (outputs(&blocked), outputs(&whole));
        for (name, wanted) in &wanted {
            assert_eq!(found[name].shape(), wanted.shape(), "{name}");
            let pairs = flat(&found[name]).into_iter().zip(flat(wanted));
            assert!(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) < 1e-12, "{name}");
        }
    }
}

/// Numbers given at run time may count from the end; those of a block never do.
#[test]
fn only_numbers_that_may_count_from_the_end_are_looked_at() {
    let looked_at = |neurons: &str, block| {
        let mut options = options(Batch::Axis(0), Direction::Reverse);
        options.neurons = Some(neurons.parse().expect("a choice"));
        options.emit = vec![Quantity::Weights];
        options.limits.block = block;
        let (model, _) = transform(network(Batch::Axis(0)), &options).expect("it is transformed");
        onnx::text::print_full(&model).contains(" Where ")
    };
    assert!(
        !looked_at("all", Some(2)) && !looked_at("0,2,4", Some(2)) && looked_at("runtime", None)
    );
}
