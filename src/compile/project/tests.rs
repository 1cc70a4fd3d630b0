//! The singular pattern analysis of matrices, in tract and ONNX Runtime, against faer's decomposition.

use std::collections::HashMap;

use faer::Mat;
use ndarray::{ArrayD, IxDyn};

use super::patterns::{Singular, analyse};
use crate::compile::build::Emit;
use crate::compile::prepare;
use crate::compile::rules::testing::in_onnxruntime;
use crate::engine::Array;
use crate::engine::tract::Session;
use crate::graph::{DataType, Model};
use crate::onnx;

/// A model that analyses its input `[N, K, d]`.
fn analysis(dims: &[&str], dtype: DataType, singular: Singular, power: bool) -> Model {
    let name = if dtype == DataType::F64 { "double" } else { "float" };
    let of = format!("{name}[{}]", dims.join(", "));
    let text = format!(
        "<ir_version: 8, opset_import: [\"\": 18]> g ({of} v) => ({of} y) {{ y = Identity (v) }}"
    );
    let mut model = prepare(onnx::text::parse(&text).unwrap()).unwrap();
    let e = Emit::new(std::mem::take(&mut model.graph), 18);
    let v = e.expr(e.graph(|graph| graph.inputs[0]));
    let found = analyse(v, singular, power).unwrap();
    e.output("patterns", found.patterns);
    e.output("values", found.values);
    e.output("mixing", found.mixing);
    found.power.into_iter().for_each(|power| e.output("power", power));
    model.graph = e.finish().unwrap();
    model
}

/// Samples of `k × d` matrices, one after another in row-major order.
struct Matrices {
    k: usize,
    d: usize,
    samples: Vec<Mat<f64>>,
}

impl Matrices {
    fn dims(&self) -> [usize; 3] {
        [self.samples.len(), self.k, self.d]
    }

    fn flat(&self) -> Vec<f64> {
        let rows = |m: &Mat<f64>| {
            (0..self.k).flat_map(|i| (0..self.d).map(|j| m[(i, j)]).collect::<Vec<_>>()).collect()
        };
        self.samples.iter().flat_map(|m| -> Vec<f64> { rows(m) }).collect()
    }

    /// Rounded to float32, as the models see them.
    fn new(k: usize, d: usize, samples: Vec<Mat<f64>>) -> Self {
        let round = |m: Mat<f64>| Mat::from_fn(k, d, |i, j| f64::from(m[(i, j)] as f32));
        Self { k, d, samples: samples.into_iter().map(round).collect() }
    }
}

fn random(k: usize, d: usize, seed: u64) -> Mat<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64 - 0.5
    };
    Mat::from_fn(k, d, |_, _| (0..4).map(|_| next()).sum::<f64>())
}

/// A `k × d` matrix with these singular values.
fn spectrum(k: usize, d: usize, values: &[f64]) -> Mat<f64> {
    let (u, v) = (random(k, k, 5), random(d, values.len(), 6));
    let (u, v) = (u.thin_svd().unwrap(), v.thin_svd().unwrap());
    Mat::from_fn(k, d, |i, j| {
        (0..values.len()).map(|r| u.U()[(i, r)] * values[r] * v.U()[(j, r)]).sum()
    })
}

fn in_tract(model: &Model, v: &Matrices, dtype: DataType) -> HashMap<String, Array> {
    let bytes = onnx::to_bytes(model).unwrap();
    let session = Session::new(&bytes, &[("v".to_owned(), v.dims().to_vec())]).unwrap();
    let array = ArrayD::from_shape_vec(IxDyn(&v.dims()), v.flat()).unwrap();
    let outputs = session.run(&[("v", Array::floats(dtype, array).unwrap())]);
    outputs.unwrap_or_else(|error| panic!("{error}")).into_iter().collect()
}

fn in_runtime(model: &Model, v: &Matrices, dtype: DataType) -> HashMap<String, Array> {
    let bytes = onnx::to_bytes(model).unwrap();
    in_onnxruntime(&bytes, ("v", &v.dims()), dtype, &v.flat()).into_iter().collect()
}

/// What one sample's analysis may differ from faer's by, relative to the largest singular value.
struct Bounds {
    values: f64,
    patterns: f64,
}

const SINGLE: Bounds = Bounds { values: 1e-5, patterns: 1e-3 };

/// Compares every sample with the decomposition of its matrix.
#[track_caller]
fn compare(v: &Matrices, r: usize, outputs: &HashMap<String, Array>, bounds: &Bounds, what: &str) {
    let get = |name: &str| -> Vec<f64> { outputs[name].to_f64().iter().copied().collect() };
    let (patterns, values, mixing) = (get("patterns"), get("values"), get("mixing"));
    assert_eq!(patterns.len(), v.samples.len() * r * v.d, "{what}");
    assert_eq!(mixing.len(), v.samples.len() * r * v.k, "{what}");
    for (n, matrix) in v.samples.iter().enumerate() {
        let svd = matrix.transpose().thin_svd().unwrap();
        let truth: Vec<f64> = svd.S().column_vector().iter().copied().collect();
        let first = truth[0];
        let found = &values[n * r..][..r];
        for (j, s) in found.iter().enumerate() {
            let wanted = truth.get(j).copied().unwrap_or(0.0);
            let apart = (s - wanted).abs();
            assert!(apart <= bounds.values * first, "{what}: s_{j} {s} {wanted}");
        }
        let u: Vec<&[f64]> = (0..r).map(|j| &patterns[(n * r + j) * v.d..][..v.d]).collect();
        let alpha: Vec<&[f64]> = (0..r).map(|j| &mixing[(n * r + j) * v.k..][..v.k]).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        assert!(u.iter().all(|u| u.iter().all(|u| u.is_finite())), "{what}");
        for (j, &s) in found.iter().enumerate() {
            let there = f64::from(u8::from(s > 0.0));
            assert!((dot(u[j], u[j]) - there).abs() < 1e-5, "{what}: |u_{j}|");
            let length = dot(alpha[j], alpha[j]).sqrt();
            assert!((length - s).abs() <= bounds.values * first, "{what}: |α_{j}|");
            for i in 0..j {
                let share = s.max(1e-30) / first.max(1e-30);
                let slack = bounds.values / share.max(bounds.values);
                assert!(dot(u[i], u[j]).abs() <= slack, "{what}: u_{i}·u_{j} {}", dot(u[i], u[j]));
            }
            assert!(u[j].iter().sum::<f64>() > -1e-5, "{what}: sign of {j}");
            // A pattern is its own only where its singular value is.
            let near = |i: usize| i != j && (truth[i] - truth[j]).abs() < 0.02 * truth[j];
            if j < truth.len() && truth[j] > 1e-3 * first && !(0..truth.len()).any(near) {
                let own: Vec<f64> = (0..v.d).map(|i| svd.U()[(i, j)]).collect();
                let apart = 1.0 - dot(u[j], &own).abs();
                assert!(apart < bounds.patterns, "{what}: u_{j} {apart:e}");
            }
        }
        if r >= truth.len() {
            for k in 0..v.k {
                for i in 0..v.d {
                    let sum: f64 = (0..r).map(|j| alpha[j][k] * u[j][i]).sum();
                    let apart = (sum - matrix[(k, i)]).abs();
                    assert!(apart <= 2.0 * bounds.values * first, "{what}: Σαu {apart:e}");
                }
            }
        }
        if let Some(power) = outputs.get("power") {
            let total: f64 = truth.iter().sum();
            let mut sum = 0.0;
            let reaches = |s: &f64| {
                sum += s;
                sum >= (0.9 - 1e-6) * total
            };
            let wanted = truth.iter().position(reaches).map_or(0, |k| k + 1);
            let wanted = if total > 0.0 { wanted } else { 0 };
            let found: Vec<f64> = power.to_f64().iter().copied().collect();
            assert_eq!(found[n], wanted as f64, "{what}: R");
        }
    }
}

#[track_caller]
fn check(k: usize, d: usize, samples: Vec<Mat<f64>>, r: usize, power: bool) {
    let v = Matrices::new(k, d, samples);
    let singular = Singular { patterns: r, ..Singular::default() };
    let fixed = [v.dims()[0].to_string(), k.to_string(), d.to_string()];
    for dims in [fixed.each_ref().map(String::as_str), ["N", &fixed[1], &fixed[2]]] {
        let model = analysis(&dims, DataType::F32, singular, power);
        compare(&v, r, &in_tract(&model, &v, DataType::F32), &SINGLE, "tract");
        compare(&v, r, &in_runtime(&model, &v, DataType::F32), &SINGLE, "ONNX Runtime");
    }
}

fn steep(count: usize) -> Vec<f64> {
    (1..=count).map(|k| (k as f64).powi(-2)).collect()
}

#[test]
fn random_matrices() {
    check(1, 7, vec![random(1, 7, 1)], 3, true);
    check(2, 9, vec![random(2, 9, 1), random(2, 9, 2)], 3, true);
    check(7, 1, vec![random(7, 1, 1)], 2, true);
    check(5, 30, vec![random(5, 30, 1), random(5, 30, 2), random(5, 30, 3)], 5, true);
    check(30, 5, vec![random(30, 5, 1), random(30, 5, 2)], 3, true);
    check(17, 17, vec![random(17, 17, 1)], 17, true);
}

#[test]
fn steep_spectra() {
    check(10, 40, vec![spectrum(10, 40, &steep(10))], 10, true);
    check(40, 20, vec![spectrum(40, 20, &steep(20))], 8, true);
}

#[test]
fn equal_singular_values() {
    check(6, 20, vec![spectrum(6, 20, &[2.0; 6])], 3, true);
    check(6, 20, vec![spectrum(6, 20, &[2.0, 2.0, 2.0, 1.0, 1.0, 0.5])], 6, true);
}

#[test]
fn matrices_of_low_rank() {
    check(6, 20, vec![spectrum(6, 20, &[3.0, 1.0])], 4, true);
    check(20, 6, vec![spectrum(20, 6, &[1.0])], 3, true);
    check(4, 9, vec![Mat::zeros(4, 9), random(4, 9, 1)], 3, true);
    check(9, 4, vec![Mat::zeros(9, 4)], 3, true);
}

#[test]
fn signs_are_those_of_the_method() {
    for (row, first) in [
        ([1.0, -1.0, 0.0], 1.0),
        ([-1.0, 1.0, 0.0], 1.0),
        ([-2.0, -1.0, 0.5], 1.0),
        ([-1.0, 2.0, 0.0], -1.0),
    ] {
        let v = Matrices::new(1, 3, vec![Mat::from_fn(1, 3, |_, j| row[j])]);
        let singular = Singular { patterns: 1, ..Singular::default() };
        let model = analysis(&["1", "1", "3"], DataType::F32, singular, false);
        for outputs in [in_tract(&model, &v, DataType::F32), in_runtime(&model, &v, DataType::F32)]
        {
            assert!(first * outputs["patterns"].to_f64()[[0, 0, 0]] > 0.0, "{row:?}");
        }
    }
}

#[test]
fn magnitudes_far_from_one() {
    for scale in [1e-20, 1e-3, 1e15] {
        let matrix = faer::Scale(scale) * random(5, 12, 1);
        check(5, 12, vec![matrix, random(5, 12, 2)], 3, true);
    }
}

/// Sides above 128, and sides known at run time only, go by a Krylov basis.
#[test]
fn large_sides() {
    for spectrum in [
        spectrum(130, 140, &steep(130)),
        spectrum(130, 140, &[3.0, 3.0, 3.0, 1.0]),
        spectrum(130, 140, &[[2.0; 3].as_slice(), &[1.0; 127]].concat()),
        random(130, 140, 7),
    ] {
        let v = Matrices::new(130, 140, vec![spectrum]);
        let singular = Singular::default();
        let model = analysis(&["1", "130", "140"], DataType::F32, singular, false);
        compare(&v, 3, &in_runtime(&model, &v, DataType::F32), &SINGLE, "ONNX Runtime");
    }
}

#[test]
fn sides_known_at_run_time() {
    for (k, d) in [(4, 9), (20, 6)] {
        let v = Matrices::new(k, d, vec![random(k, d, 1), spectrum(k, d, &[2.0, 1.0])]);
        let model = analysis(&["N", "K", "D"], DataType::F32, Singular::default(), false);
        compare(&v, 3, &in_runtime(&model, &v, DataType::F32), &SINGLE, "ONNX Runtime");
        if std::env::var_os("SLPC_LONG").is_some() {
            compare(&v, 3, &in_tract(&model, &v, DataType::F32), &SINGLE, "tract");
        }
    }
}

#[test]
fn double_precision() {
    let exact = Bounds { values: 1e-12, patterns: 1e-12 };
    for v in [random(8, 20, 1), random(20, 8, 1), spectrum(9, 12, &[5.0, 1.0, 1.0])] {
        let (k, d) = (v.nrows(), v.ncols());
        let v = Matrices::new(k, d, vec![v]);
        let dims = ["1".to_owned(), k.to_string(), d.to_string()];
        let dims = dims.each_ref().map(String::as_str);
        let model = analysis(&dims, DataType::F64, Singular::default(), true);
        compare(&v, 3, &in_tract(&model, &v, DataType::F64), &exact, "tract");
    }
}

#[test]
fn what_no_graph_can_tell_is_refused() {
    for (text, dims) in [("300", ["1", "300", "400"]), ("known beforehand", ["1", "K", "40"])] {
        let error = refusal(&dims);
        assert!(error.contains(text) && error.contains("leave out power"), "{error}");
    }
    for (patterns, gamma) in [(0, 0.9), (65, 0.9), (3, 0.0), (3, 1.1), (3, f64::NAN)] {
        assert!(Singular { patterns, gamma }.check().is_err(), "{patterns} {gamma}");
    }
    assert!(Singular { patterns: 64, gamma: 1.0 }.check().is_ok());
}

fn refusal(dims: &[&str]) -> String {
    let of = format!("float[{}]", dims.join(", "));
    let text = format!(
        "<ir_version: 8, opset_import: [\"\": 18]> g ({of} v) => ({of} y) {{ y = Identity (v) }}"
    );
    let mut model = prepare(onnx::text::parse(&text).unwrap()).unwrap();
    let e = Emit::new(std::mem::take(&mut model.graph), 18);
    let v = e.expr(e.graph(|graph| graph.inputs[0]));
    analyse(v, Singular::default(), true).err().unwrap().to_string()
}

#[test]
fn snapshot() {
    let singular = Singular { patterns: 1, ..Singular::default() };
    let model = analysis(&["N", "2", "3"], DataType::F32, singular, true);
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/project"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("patterns", onnx::text::print(&model)));
}
