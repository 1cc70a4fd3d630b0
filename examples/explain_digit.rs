//! Explains a digit: which pixels made the network say what it says.
//!
//! `cargo run --example explain_digit [DIGIT.png]`

use std::path::Path;

use ndarray::{Array1, ArrayD, Axis};
use slpc::cli::Preprocess;
use slpc::cli::data::{Dataset, Wanted};
use slpc::compile::{Options, transform};
use slpc::engine::{Array, tract::Session};
use slpc::error::{Error, Kind, Result};
use slpc::render;

fn main() -> Result<()> {
    let file = std::env::args().nth(1).unwrap_or("examples/digits/7.png".into());

    // The model, and what it becomes: it also computes v, ŵ, b̂, ĉ and ν̂ of its ten logits.
    let model = slpc::onnx::load(Path::new("examples/2conv_mnist.onnx"))?;
    let (augmented, summary) = transform(model, &Options::default())?;
    println!("{} nodes became {}", summary.nodes_before, summary.nodes_after);

    // A digit of 28 by 28 pixels in 0..1, and one run.
    let pixels = Preprocess::preset("unit").ok_or_else(|| Error::internal("no preset 'unit'"))?;
    let wanted = Wanted { name: "input".into(), sample: Some([1, 28, 28].map(Some).to_vec()) };
    let digit = Dataset::open(&[file.clone().into()], Some(&pixels), wanted)?.all()?.values;
    let bytes = slpc::onnx::to_bytes(&augmented)?;
    let session = Session::new(&bytes, &[("input".into(), digit.shape().to_vec())])?;
    let outputs = session.run(&[("input", digit.clone())])?;
    let get = |name: &str| {
        let found = outputs.iter().find(|(n, _)| n == name).map(|(_, a)| first_sample(a));
        found.ok_or_else(|| Error::internal("the output is missing").value(name))
    };

    // The prediction.
    let logits = Array1::from_iter(get("logits")?);
    let powers = (&logits - logits.fold(f64::MIN, |a, &b| a.max(b))).exp();
    let class = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
    println!("{file} shows a {class}, with probability {:.4}", powers[class] / powers.sum());

    // The identities, for every class.
    let x = first_sample(&digit);
    let (v, w, b) =
        (get("slp/logits/activity")?, get("slp/logits/weights")?, get("slp/logits/bias")?);
    let (c, icd) = (get("slp/logits/centre")?, get("slp/logits/icd")?);
    println!("\nclass         v    v − (x·ŵ + b̂)   v − (x − ĉ)·ŵ      v − Σν̂");
    let mut worst = 0.0f64;
    for m in 0..logits.len() {
        let (w, c) = (w.index_axis(Axis(0), m), c.index_axis(Axis(0), m));
        let errors = [
            v[m] - ((&x * &w).sum() + b[m]),
            v[m] - ((&x - &c) * w).sum(),
            v[m] - icd.index_axis(Axis(0), m).sum(),
        ];
        println!("{m:5} {:9.4} {:16.1e} {:15.1e} {:11.1e}", v[m], errors[0], errors[1], errors[2]);
        worst = errors.iter().fold(worst, |a, e| a.max(e.abs()));
    }

    // The digit beside the pixels' contributions to the winner.
    let map = icd.index_axis(Axis(0), class);
    let panel = render::panel(&[
        (render::picture(x.view(), 400)?, format!("{class}")),
        (
            render::heatmap(map.view(), &render::Options { size: 400, ..Default::default() })?,
            format!("ICD of {class}"),
        ),
    ]);
    std::fs::create_dir_all("target").map_err(|e| Error::io("target", &e))?;
    render::save_png(Path::new("target/explain_digit.png"), &panel)?;
    println!("\nThe picture is target/explain_digit.png");

    let bound = 1e-4 * v.iter().fold(1.0f64, |a, v| a.max(v.abs()));
    if worst <= bound {
        return Ok(());
    }
    Err(Error::new(Kind::Check, format!("an identity is off by {worst:e}, more than {bound:e}")))
}

/// The first sample of an array, as doubles.
fn first_sample(array: &Array) -> ArrayD<f64> {
    array.to_f64().index_axis_move(Axis(0), 0)
}
