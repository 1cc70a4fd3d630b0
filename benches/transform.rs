//! Times the stages of the compiler: `cargo bench --bench transform`, and a filter such as `emit` after `--`.
//!
//! On the shipped network, and on chains of 100 to 10,000 nodes, where a stage that is not linear in the
//! number of nodes shows. Only the stage itself is timed, not what it takes or what it leaves to be freed.

use std::fmt;
use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use divan::Bencher;
use slpc::compile::{Options, prepare, transform};
use slpc::graph::Model;
use slpc::onnx;

/// What the stages are timed on.
#[derive(Clone, Copy)]
enum Network {
    /// The shipped convolutional network.
    TwoConv,
    /// As many nodes in a row: products, sums, ReLU and Sigmoid in turn.
    Chain(usize),
}

const NETWORKS: [Network; 4] =
    [Network::TwoConv, Network::Chain(100), Network::Chain(1_000), Network::Chain(10_000)];

fn main() {
    divan::main();
}

#[divan::bench(args = NETWORKS)]
fn load(bencher: Bencher, network: Network) {
    let bytes = network.bytes();
    let load = || onnx::load_bytes(bytes.clone(), None).expect("the network is read");
    bencher.bench_local(load);
}

#[divan::bench(args = NETWORKS)]
fn normalise_and_infer(bencher: Bencher, network: Network) {
    let model = network.model();
    let stage = |model| prepare(model).expect("the network has types");
    bencher.with_inputs(|| model.clone()).bench_local_values(stage);
}

#[divan::bench(name = "transform", args = NETWORKS)]
fn all_stages(bencher: Bencher, network: Network) {
    let (model, options) = (network.model(), Options::default());
    let stage = |model| transform(model, &options).expect("the network is transformed");
    bencher.with_inputs(|| model.clone()).bench_local_values(stage);
}

#[divan::bench(args = NETWORKS)]
fn emit(bencher: Bencher, network: Network) {
    let transformed = transform(network.model(), &Options::default());
    let (augmented, _) = transformed.expect("the network is transformed");
    bencher.bench_local(|| onnx::to_bytes(&augmented).expect("the network is written"));
}

impl Network {
    fn bytes(self) -> Bytes {
        match self {
            Self::TwoConv => {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
                std::fs::read(folder.join("examples/2conv_mnist.onnx"))
                    .expect("it is shipped")
                    .into()
            }
            Self::Chain(nodes) => {
                let model = onnx::text::parse(&chain(nodes)).expect("the chain parses");
                onnx::to_bytes(&model).expect("the chain is written").into()
            }
        }
    }

    fn model(self) -> Model {
        onnx::load_bytes(self.bytes(), None).expect("the network is read")
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::TwoConv => f.write_str("2CONV"),
            Self::Chain(nodes) => write!(f, "chain of {nodes}"),
        }
    }
}

/// A chain as ONNX text, from x to the value of the last node, both of eight elements.
fn chain(nodes: usize) -> String {
    let (mut constants, mut body, mut value) = (Vec::new(), String::new(), "x".to_owned());
    for i in 0..nodes {
        let op = ["Mul", "Add", "Relu", "Sigmoid"][i % 4];
        let second = if i % 4 < 2 { format!(", c{i}") } else { String::new() };
        if i % 4 < 2 {
            constants.push(format!("float[8] c{i} = {{1.5, 0.5, 1.25, 0.75, 1, 0.9, 1.1, 0.8}}"));
        }
        let _ = write!(body, "v{i} = {op}({value}{second}) ");
        value = format!("v{i}");
    }
    let (constants, header) = (constants.join(", "), "<ir_version: 8, opset_import: [\"\": 18]>");
    format!("{header} g (float[1,8] x) => (float[1,8] {value}) <{constants}> {{ {body} }}")
}
