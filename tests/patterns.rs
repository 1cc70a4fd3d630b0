//! Singular pattern analysis against numpy.

mod common;

use common::{floats, long, python};
use ndarray::Array2;
use ndarray_npy::write_npy;
use slpc::analyse::{Power, Spa, Stream};
use slpc::noise::Noise;

/// The largest difference of two rows.
fn apart(a: &ndarray::ArrayView1<f64>, b: &ndarray::ArrayView1<f64>) -> f64 {
    (a - b).into_iter().map(f64::abs).fold(0.0, f64::max)
}

#[test]
fn patterns_are_those_of_numpy() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let script = "import json, sys, numpy as np
v = np.load(sys.argv[1]).T
if sys.argv[2] == 'steep':
    u, s, h = np.linalg.svd(v, full_matrices=False)
    v = (u * np.arange(1, s.size + 1) ** -2.0) @ h
u, s, h = np.linalg.svd(v, full_matrices=False)
u = u * np.where(u.sum(0) < 0, -1, 1)
np.save(sys.argv[3], v.T.copy()), np.save(sys.argv[4], u.T.copy())
print(json.dumps(s.tolist()))";
    for (rows, columns) in [(40, 70), (70, 40), (50, 50)] {
        for kind in ["flat", "steep"] {
            let mut noise = Noise::new(rows as u64);
            let random = Array2::from_shape_fn((rows, columns), |_| noise.normal());
            write_npy(at("v.npy"), &random).unwrap();
            let files = [&at("v.npy"), kind, &at("w.npy"), &at("u.npy")].map(str::to_owned);
            let mut arguments = vec!["-c", script];
            arguments.extend(files.iter().map(String::as_str));
            let expected = floats(&python(&arguments));
            let v: Array2<f64> = ndarray_npy::read_npy(at("w.npy")).unwrap();
            let u: Array2<f64> = ndarray_npy::read_npy(at("u.npy")).unwrap();
            let spa = Spa::of(&v.view(), usize::MAX).unwrap();
            let mut stream = Stream::new(rows, columns);
            stream.add(&v.view()).unwrap();
            let streamed = stream.spectrum().unwrap();
            assert_eq!(spa.spectrum.rank(), expected.len());
            let (mut of_values, mut of_patterns) = (0.0f64, 0.0f64);
            for (j, wanted) in expected.iter().enumerate() {
                for found in [spa.spectrum.values[j], streamed.values[j]] {
                    of_values = of_values.max((found - wanted).abs() / wanted);
                }
                of_patterns = of_patterns.max(apart(&spa.patterns.row(j), &u.row(j)));
            }
            println!("{kind} {rows} x {columns}: s off by {of_values:.0e}, u by {of_patterns:.0e}");
            assert!(of_values < 1e-5 && of_patterns < 1e-5);
            assert!((spa.mixing.dot(&spa.patterns) - &v).iter().all(|e| e.abs() < 1e-9));
        }
    }
}

/// A matrix whose singular values fall as k⁻², in both precisions and through both ways.
#[test]
fn inverse_squares_need_57_patterns_for_99_hundredths() {
    if !long() {
        return eprintln!("SKIPPED: a matrix of 900 by 900 is for SLPC_LONG=1");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("v.npy");
    let script = "import sys, numpy as np
turn = lambda: np.linalg.qr(np.random.default_rng(len(sys.argv)).normal(size=(900, 900)))[0]
np.save(sys.argv[1], turn() * np.arange(1, 901) ** -2.0 @ turn().T)
print(57)";
    python(&["-c", script, file.to_str().unwrap()]);
    let double: Array2<f64> = ndarray_npy::read_npy(&file).unwrap();
    let single = double.mapv(|v| v as f32);
    let mut streams = [Stream::new(900, 900), Stream::new(900, 900)];
    for start in (0..900).step_by(300) {
        let block = ndarray::s![start..start + 300, ..];
        streams[0].add(&double.slice(block)).unwrap();
        streams[1].add(&single.slice(block)).unwrap();
    }
    let whole = Spa::of(&double.view(), 0).unwrap().spectrum;
    let streamed = streams.iter().map(|stream| stream.spectrum().unwrap());
    for spectrum in std::iter::once(whole).chain(streamed) {
        let power = Power::of(&spectrum, 0.99).unwrap();
        println!("R is {} of {} patterns", power.patterns, power.rank);
        assert_eq!((power.patterns, power.rank), (57, 900));
    }
}
