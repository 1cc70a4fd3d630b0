//! The page of `examples/web/`, built and used in a real browser, against the host's numbers.

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use ndarray::{ArrayD, Axis, IxDyn};
use ndarray_npy::NpzReader;
use serde_json::Value;

const SLPC: &str = env!("CARGO_BIN_EXE_slpc");

fn root(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(part)
}

/// A browser that Playwright can drive, and Node.js, or none, said aloud.
fn browser() -> Option<String> {
    let runs = |name: &str| Command::new(name).arg("--version").output().is_ok();
    let named = std::env::var("CHROMIUM").ok();
    let known = ["chromium", "chromium-browser", "google-chrome"].map(str::to_owned);
    let found = named.into_iter().chain(known).find(|name| runs(name));
    match found {
        Some(browser) if runs("node") && runs("npm") => Some(browser),
        found => {
            let lacks = if found.is_some() { "Node.js with npm" } else { "Chromium" };
            eprintln!("SKIPPED: the page needs {lacks} to be tested");
            None
        }
    }
}

/// Where a program on the path lies.
fn located(program: &str) -> String {
    let output = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{told}{wrong}");
    told
}

/// The folder of the built page and that of the packages.
fn build(arguments: &[&Path]) -> (PathBuf, PathBuf) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (site, packages) = (folder.join("web"), folder.join("web-packages"));
    let mut node = Command::new("node");
    node.arg(root("examples/web/build.mjs")).args(arguments);
    node.env("SLPC", SLPC).env("SLPC_SITE", &site).env("SLPC_PACKAGES", &packages);
    done(&mut node);
    (site, packages)
}

/// The shipped network as it is, and transformed so that its neurons are chosen at run time.
fn models() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("web-models");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(common::shipped(), folder.join("plain.onnx")).unwrap();
    for (name, neurons) in [("top", "top:3"), ("runtime", "runtime")] {
        let mut transform = Command::new(SLPC);
        transform.arg("transform").arg(common::shipped()).args(["--neurons", neurons, "-o"]);
        done(transform.arg(folder.join(name).with_extension("onnx")));
    }
    folder
}

/// What the host computes of a picture: the `.npz` of `slpc run`.
fn host(model: &Path, picture: &Path, preprocess: &str) -> NpzReader<File> {
    let room = tempfile::tempdir().unwrap();
    let out = room.path().join("host.npz");
    let mut run = Command::new(SLPC);
    run.args(["run", "--quiet", "--preprocess", preprocess, "--data"]).arg(picture);
    done(run.arg(model).arg("-o").arg(&out));
    NpzReader::new(File::open(&out).unwrap()).unwrap()
}

/// How near the page's rows must be to the host's. In a photograph two float32 engines may take one of
/// the millions of switches otherwise where it is within rounding of a tie, and rows show it.
const BOUND: f64 = 1e-4;
const LARGE_BOUND: f64 = 1e-3;

/// What is compared: everything, the rows alone, or the rows of a large network.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    All,
    Rows,
    Large,
}

/// The numbers that the page saved for one neuron, beside the host's, whose neuron is at place `k`.
fn agrees(saved: &Path, host: &mut NpzReader<File>, alias: &str, k: usize, extent: Extent) {
    let page: Value = serde_json::from_slice(&std::fs::read(saved).unwrap()).unwrap();
    let list = |key: &str| -> Vec<f64> {
        let value = &page[key];
        let all = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        all.iter().map(|v| v.as_f64().unwrap_or_else(|| panic!("{key}: {v}"))).collect()
    };
    let bound = if extent == Extent::Large { LARGE_BOUND } else { BOUND };
    let mut compare = |quantity: &str, of_neuron: bool| {
        let name = format!("slp/{alias}/{quantity}");
        let array: ArrayD<f32> = host.by_name(&name).unwrap();
        let sample = array.index_axis(Axis(0), 0).mapv(f64::from);
        let wanted: ArrayD<f64> = match (quantity, of_neuron) {
            ("mixing", _) => sample.index_axis(Axis(1), k).to_owned(),
            (_, true) => sample.index_axis(Axis(0), k).to_owned(),
            (_, false) => sample,
        };
        let found = list(quantity);
        let found = ArrayD::from_shape_vec(IxDyn(wanted.shape()), found).unwrap();
        let distance = common::distance(&found, &wanted);
        println!("{quantity} of {}: {distance:.1e}", page["neuron"]);
        assert!(distance < bound, "{quantity} is {distance} from the host's");
    };
    for quantity in ["activity", "bias", "weights", "icd"] {
        compare(quantity, true);
    }
    if extent == Extent::All {
        for quantity in ["patterns", "singular-values", "mixing"] {
            compare(quantity, false);
        }
    }
}

#[test]
fn the_page_gives_the_host_s_numbers_and_says_what_is_wrong() {
    let Some(browser) = browser() else { return };
    print!("{}", done(Command::new("node").arg("--test").arg(root("tests/web/model.test.mjs"))));
    let data = if common::long() { common::data() } else { None };
    let large = data.map(|data| Large::new(&data));
    let arguments =
        large.as_ref().map_or(vec![], |l| vec![&*l.model, Path::new("caffe"), &l.names]);
    let (site, packages) = build(&arguments);
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("web-out");
    let mut page = Command::new("node");
    page.arg(root("tests/web/page.mjs")).args([&site, &out]).arg(located(&browser));
    page.arg(&packages).arg(models());
    print!("{}", done(page.args(large.as_ref().map(|large| &large.picture))));

    let digit = root("examples/digits/3.png");
    let mut three = host(&site.join("models/2conv_mnist.slp.onnx"), &digit, "unit");
    agrees(&out.join("three-3.json"), &mut three, "logits", 3, Extent::All);
    agrees(&out.join("three-9.json"), &mut three, "logits", 9, Extent::All);
    agrees(&out.join("top-3.json"), &mut three, "logits", 3, Extent::Rows);
    agrees(&out.join("runtime-6.json"), &mut three, "logits", 6, Extent::Rows);
    if let Some(large) = large {
        let mut rows = host(&large.rows, &large.picture, "caffe");
        agrees(&out.join("large-winner.json"), &mut rows, "l", 0, Extent::Large);
        agrees(&out.join("large-other.json"), &mut rows, "l", 1, Extent::Large);
    }
}

/// SqueezeNet with a goldfish of its own size, and its rows for two classes on the host.
struct Large {
    model: PathBuf,
    names: PathBuf,
    picture: PathBuf,
    rows: PathBuf,
}

impl Large {
    fn new(data: &Path) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let (picture, rows) = (folder.join("goldfish.png"), folder.join("squeezenet.slp.onnx"));
        let photograph = image::open(data.join("images/goldfish.jpg")).unwrap();
        let filter = image::imageops::FilterType::Triangle;
        photograph.resize_to_fill(224, 224, filter).to_rgb8().save(&picture).unwrap();
        let model = data.join("models/squeezenet11_imagenet.onnx");
        let mut transform = Command::new(SLPC);
        transform.arg("transform").arg(&model).args(["--layer", "l=logits", "--neurons", "1,207"]);
        done(transform.arg("-o").arg(&rows));
        Self { model, names: data.join("imagenet_labels.txt"), picture, rows }
    }
}
