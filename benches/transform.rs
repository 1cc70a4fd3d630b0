//! Times the compiler itself on the shipped network: `cargo bench --bench transform`.
//!
//! Each stage is run many times and its median printed, so that a change of one stage shows.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use slpc::compile::{Options, prepare, transform};
use slpc::error::Result;
use slpc::onnx;

const RUNS: usize = 101;

fn main() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/2conv_mnist.onnx");
    let model = onnx::load(&path)?;
    let options = Options::default();
    let (augmented, _) = transform(model.clone(), &options)?;
    report("load", || onnx::load(&path).map(drop))?;
    report("normalise and infer", || prepare(model.clone()).map(drop))?;
    report("transform", || transform(model.clone(), &options).map(drop))?;
    report("emit", || onnx::to_bytes(&augmented).map(|bytes| drop(black_box(bytes))))
}

/// Prints the median time of `run`.
fn report(name: &str, mut run: impl FnMut() -> Result<()>) -> Result<()> {
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed());
    }
    times.sort();
    let median: Duration = times[RUNS / 2];
    println!("{name:20} {:8.3} ms", median.as_secs_f64() * 1e3);
    Ok(())
}
