//! `slpc explain` as it is typed.

use std::path::Path;
use std::process::{Command, Output};

const DIGITS: &str = "examples/2conv_mnist.onnx";

fn slpc(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_slpc")).args(arguments).output().unwrap()
}

/// The names of what is in a folder, in order.
fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_digit_is_explained_in_one_file_and_pictures() {
    let room = tempfile::tempdir().unwrap();
    let at = |name: &str| room.path().join(name).to_str().unwrap().to_owned();
    let names: Vec<String> = (0..10).map(|digit| format!("digit <{digit}>, written")).collect();
    std::fs::write(at("labels.txt"), names.join("\n")).unwrap();
    let picture = ["examples/digits/7.png", "--preprocess", "unit", "--labels", &at("labels.txt")];
    let output = ["-o", &at("r.html"), "--png", &at("maps"), "--layer", "#5", "--json"];
    let done = slpc(&[&["explain", DIGITS], &picture[..], &output].concat());
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let told: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let digit = &told["pictures"][0];
    assert_eq!((&digit["winner"], &digit["analysed"]), (&7.into(), &10.into()), "{told}");
    assert!(digit["probability"].as_f64().unwrap() > 0.99);
    for identity in ["projection", "decomposition", "centre"] {
        let missed = digit["misses"][identity].as_f64().unwrap().abs();
        assert!(missed < 1e-5 * digit["misses"]["size"].as_f64().unwrap(), "{identity}: {missed}");
    }
    let hidden = &digit["hidden"][0];
    let count = |part: &str| hidden[part]["neurons"].as_u64().unwrap();
    assert_eq!(
        (&hidden["layer"], count("active") + count("inactive")),
        (&"/fc1/Gemm_output_0".into(), 256)
    );

    let html = std::fs::read_to_string(at("r.html")).unwrap();
    for part in
        ["digit &lt;7&gt;", "class=\"label boxed\"><span>digit &lt;7&gt;</span>", "sign of v"]
    {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("<7>") && !html.contains("http"));
    assert_eq!(html.matches("<figure>").count(), 3 + 3 + 4 * 3 + 2 * 3);
    let pictures = ["broad", "input", "narrow", "parts-fc1-gemm-output-0", "winner"];
    assert_eq!(entries(&room.path().join("maps")), pictures.map(|name| format!("1-7-{name}.png")));

    // In a memory that holds 41 neurons, those of largest |v| are analysed.
    let done = slpc(&[&["explain", DIGITS, "--memory", "1M"], &picture[..], &output].concat());
    let told: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(told["pictures"][0]["hidden"][0]["inactive"]["analysed"], 41, "{told}");
}

/// v = (h₀ + 2h₁, −h₀) with h₀ = relu(x₀) and h₁ = relu(x₁ + x₂), at x = (1, 2, 3, 0).
#[test]
fn what_is_known_of_a_small_network_is_told() {
    let room = tempfile::tempdir().unwrap();
    let at = |name: &str| room.path().join(name).to_str().unwrap().to_owned();
    let text = "<ir_version: 8, opset_import: [\"\" : 18]>
        g (float[N,1,2,2] x) => (float[N,2] y)
        <float[4,2] a = {1, 0, 0, 1, 0, 1, 0, 0}, float[2,2] b = {1, -1, 2, 0}> {
            f = Flatten (x) h = MatMul (f, a) r = Relu (h) y = MatMul (r, b)
        }";
    let bytes = slpc::onnx::to_bytes(&slpc::onnx::text::parse(text).unwrap()).unwrap();
    std::fs::write(at("m.onnx"), bytes).unwrap();
    let x = ndarray::arr3(&[[[1f32, 2.0], [3.0, 0.0]]]);
    ndarray_npy::write_npy(at("x.npy"), &x).unwrap();
    let explain = |options: &[&str]| {
        let (model, data, report) = (at("m.onnx"), at("x.npy"), at("r.html"));
        let base = ["explain", &model, &data, "-o", &report, "--json"];
        let done = slpc(&[&base[..], options].concat());
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        let told: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        (told["pictures"][0].clone(), std::fs::read_to_string(report).unwrap())
    };
    let (told, html) = explain(&["--radius"]);
    // The nearest border is x₀ = 0, at a distance of 1.
    assert_eq!((&told["radius"], &told["winner"]), (&1.0.into(), &0.into()));
    assert!(html.contains("element 0 of"), "{html}");
    assert_eq!(told["hidden"][0]["active"]["neurons"], 2);
    assert!(html.contains("No neuron is inactive."));
    // ν̂ of v₀ = 11 is 11·(1, 4, 4, 0)/9.
    assert!(html.contains("v\u{a0}=\u{a0}11.00"), "{html}");
    assert!(html.contains("−4.89</span>"), "{html}");
    // Of a layer that is too large, those of largest |v| are taken, and the report says so.
    let (told, html) = explain(&["--most", "1", "--layer", "h", "--rule", "sign"]);
    assert_eq!((&told["analysed"], &told["radius"]), (&1.into(), &serde_json::Value::Null));
    assert_eq!(told["hidden"][0]["active"]["analysed"], 1);
    assert!(html.contains("the 1 of largest activity among 2 output neurons"), "{html}");
    assert!(html.contains("Active: the 1 of largest |v| among 2 neurons"), "{html}");
    let (told, html) = explain(&["--layer", "none", "--clip", "99"]);
    assert!(told["hidden"].as_array().unwrap().is_empty() && html.contains("99th percentile"));
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_written() {
    let room = tempfile::tempdir().unwrap();
    let at = |name: &str| room.path().join(name).to_str().unwrap().to_owned();
    let nan = ndarray::Array4::from_elem((1, 1, 28, 28), f32::NAN);
    ndarray_npy::write_npy(at("nan.npy"), &nan).unwrap();
    image::GrayImage::new(30, 20).save(at("large.png")).unwrap();
    std::fs::write(at("text.png"), "no picture").unwrap();
    std::fs::write(at("three.txt"), "a\nb\nc\n").unwrap();
    let before = entries(room.path());
    let report = at("r.html");
    let tells = |arguments: &[&str], parts: &[&str]| {
        let base: &[&str] = &["explain", DIGITS, "-o", &report];
        let output = slpc(&[base, arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        for part in parts {
            assert!(error.contains(part), "'{part}' is not in: {error}");
        }
        assert_eq!(entries(room.path()), before, "{error}");
    };
    let digit = "examples/digits/7.png";
    tells(&[], &["IMAGE"]);
    tells(&[&at("none.png")], &["none.png"]);
    tells(&[&at("text.png")], &["text.png", "this is no picture"]);
    tells(&[&at("large.png")], &["large.png", "28 × 28", "crop=28x28"]);
    tells(&[&at("nan.npy")], &["nan.npy", "NaN"]);
    tells(&[digit, "--labels", &at("three.txt")], &["three.txt", "3 classes", "has 10"]);
    tells(&[digit, "--layer", "conv3"], &["no value or node is called 'conv3'"]);
    tells(&[digit, "--gamma", "2"], &["2 is no share"]);
    tells(&[digit, "--clip", "101"], &["101 is no percentile"]);
    let little = [digit, "--memory", "1M"];
    tells(&[&little[..], &["--most", "999"]].concat(), &["999 neurons", "1.0 MB", "--most 41"]);
    tells(&[digit, "--memory", "9K"], &["1 neurons", "--memory 25088 would do"]);
    let elsewhere = slpc(&["explain", DIGITS, digit, "-o", &at("model.onnx")]);
    let error = String::from_utf8_lossy(&elsewhere.stderr).into_owned();
    assert!(error.contains("ends in .html") && entries(room.path()) == before, "{error}");
}
