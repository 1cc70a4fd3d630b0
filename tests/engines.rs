//! One interface, two engines: ONNX Runtime from the tests' own Python, and tract.

mod common;

use std::path::{Path, PathBuf};

use common::{augment, data, digit, distance, golden, options, shipped};
use half::{bf16, f16};
use ndarray::{Array1, ArrayD, array};
use slpc::engine::{Array, Backend, Extent, Provider, Session, Setup};
use slpc::error::Kind;
use slpc::graph::DataType;
use slpc::onnx::text::parse;
use slpc::onnx::{Weights, emit, to_bytes};

fn onnxruntime() -> Setup {
    let library = Some(common::onnxruntime());
    Setup { backend: Backend::OnnxRuntime, library, ..Setup::default() }
}

fn both() -> [Setup; 2] {
    [Setup::default(), onnxruntime()]
}

fn model(graph: &str) -> Vec<u8> {
    let text = format!("<ir_version: 8, opset_import: [\"\" : 17]> {graph}");
    to_bytes(&parse(&text).unwrap()).unwrap()
}

fn told<T>(result: slpc::error::Result<T>) -> String {
    let error = result.err().expect("this should have failed");
    assert_eq!(error.kind, Kind::Engine, "{error}");
    let text = error.to_string();
    assert!(!text.contains('\n') && !text.contains("panicked"), "{text}");
    text
}

#[test]
fn declarations_are_handed_out() {
    let bytes = model(
        "g (float[N, 3, 4] x, int64[K] i) => (float[N, 3, 4] y, int64[K] j)
         { y = Relu (x) j = Identity (i) }",
    );
    for setup in both() {
        let session = Session::from_bytes(&bytes, &setup).unwrap();
        let [x, i] = session.inputs() else { panic!("{setup:?}") };
        assert_eq!((&*x.name, x.dtype), ("x", Some(DataType::F32)));
        let dims = [Extent::Named("N".into()), Extent::Fixed(3), Extent::Fixed(4)];
        assert_eq!(x.dims.as_deref(), Some(&dims[..]));
        assert_eq!((&*i.name, i.dtype, i.fixed_shape()), ("i", Some(DataType::I64), None));
        let names: Vec<_> = session.outputs().iter().map(|port| &*port.name).collect();
        assert_eq!(names, ["y", "j"]);
    }
}

#[test]
fn shapes_may_change_from_run_to_run() {
    let bytes = model("g (float[N] x, float[N] z) => (float[N] y) { y = Sub (x, z) }");
    for setup in both() {
        let mut session = Session::from_bytes(&bytes, &setup).unwrap();
        for n in [1usize, 7, 2, 9, 11, 13, 7, 1] {
            let x = Array1::from_iter((0..n).map(|i| i as f32));
            let inputs = [("z", Array::from(x.mapv(|v| v * 0.5))), ("x", x.clone().into())];
            let outputs = session.run(&inputs).unwrap();
            assert_eq!(outputs, [("y".to_owned(), Array::from(x.mapv(|v| v * 0.5)))]);
        }
    }
}

#[test]
fn every_element_type_goes_through() {
    let arrays: [Array; 13] = [
        array![1f32, -2.5].into(),
        array![1f64, -2.5].into(),
        array![f16::ONE, f16::NEG_ONE].into(),
        array![bf16::ONE, bf16::NEG_ONE].into(),
        array![1i64, i64::MIN].into(),
        array![1i32, -2].into(),
        array![1i16, -2].into(),
        array![1i8, -2].into(),
        array![1u64, u64::MAX].into(),
        array![1u32, 2].into(),
        array![1u16, 2].into(),
        array![1u8, 2].into(),
        array![true, false].into(),
    ];
    for array in arrays {
        let dtype = array.dtype().name();
        let bytes = model(&format!("g ({dtype}[N] x) => ({dtype}[N] y) {{ y = Identity (x) }}"));
        for setup in both() {
            let run = || Session::from_bytes(&bytes, &setup)?.run(&[("x", array.clone())]);
            match (setup.backend, array.dtype()) {
                (Backend::Tract, DataType::BF16) => {
                    let text = told(run());
                    assert!(text.contains("Bfloat16"), "{text}");
                }
                _ => assert_eq!(run().unwrap()[0].1, array, "{dtype} in {}", setup.backend),
            }
        }
    }
}

#[test]
fn scalars_and_nothing_go_through() {
    let scalar = Array::from(ndarray::arr0(2f32));
    let bytes = model("g (float x) => (float y) { y = Neg (x) }");
    let mut session = Session::from_bytes(&bytes, &onnxruntime()).unwrap();
    let outputs = session.run(&[("x", scalar)]).unwrap();
    assert_eq!(outputs[0].1, ndarray::arr0(-2f32).into());
    let bytes = model("g (float[N, 3] x) => (float[N, 3] y) { y = Neg (x) }");
    let mut session = Session::from_bytes(&bytes, &onnxruntime()).unwrap();
    let nothing = Array::from(ArrayD::<f32>::zeros(vec![0, 3]));
    assert_eq!(session.run(&[("x", nothing)]).unwrap()[0].1.shape(), [0, 3]);
}

#[test]
fn an_array_that_is_not_in_rows_is_laid_out() {
    let bytes = model("g (float[N, M] x) => (float[N, M] y) { y = Neg (x) }");
    for setup in both() {
        let x = array![[1f32, 2.0, 3.0], [4.0, 5.0, 6.0]].reversed_axes();
        let outputs = Session::from_bytes(&bytes, &setup).unwrap().run(&[("x", x.clone().into())]);
        assert_eq!(outputs.unwrap()[0].1, x.mapv(|v| -v).into());
    }
}

#[test]
fn what_does_not_fit_is_told_alike() {
    let bytes = model("g (float[N, 3] x, float[N] z) => (float[N, 3] y) { y = Relu (x) }");
    let x = || Array::from(array![[1f32, 2.0, 3.0]]);
    let z = || Array::from(array![1f32]);
    let cases: [(Vec<(&str, Array)>, &str); 6] = [
        (vec![("x", x())], "'z': the input was given no array"),
        (vec![("x", x()), ("z", z()), ("w", z())], "'w': the model has no such input"),
        (vec![("x", z()), ("z", z())], "'x': the shape is [1] where [N, 3] is expected"),
        (
            vec![("x", array![[1f32]].into()), ("z", z())],
            "'x': the shape is [1, 1] where [N, 3] is expected",
        ),
        (
            vec![("x", x()), ("z", array![1f64].into())],
            "'z': the array is of double where the model takes float",
        ),
        (
            vec![("x", x()), ("z", array![1f32, 2.0].into())],
            "'z': the axis 'N' is 2 here and 1 in another place",
        ),
    ];
    for setup in both() {
        let mut session = Session::from_bytes(&bytes, &setup).unwrap();
        for (inputs, part) in &cases {
            let text = told(session.run(inputs));
            assert!(text.contains(part), "'{part}' is not in: {text}");
        }
    }
}

#[test]
fn failures_name_the_node() {
    let bytes = model(
        "g (float[N] x, float[M] z) => (float[K] y)
         { [first] h = Relu (x) [sum] y = Add (h, z) }",
    );
    let inputs = [("x", array![1f32, 2.0].into()), ("z", array![1f32, 2.0, 3.0].into())];
    let error = Session::from_bytes(&bytes, &onnxruntime()).unwrap().run(&inputs).unwrap_err();
    assert_eq!(error.place.node.as_deref(), Some("sum"), "{error}");
    assert_eq!(error.place.operator.as_deref(), Some("Add"), "{error}");
    let unknown = model("g (float[N] x) => (float[N] y) { [odd] y = NoSuchOperator (x) }");
    for setup in both() {
        assert!(told(Session::from_bytes(&unknown, &setup)).contains("NoSuchOperator"));
    }
}

#[test]
fn broken_models_are_failures() {
    let whole = model("g (float[N] x) => (float[N] y) { y = Relu (x) }");
    for setup in both() {
        for bytes in [&b""[..], b"no model at all", &whole[..whole.len() / 2]] {
            told(Session::from_bytes(bytes, &setup));
        }
        let error = Session::open(Path::new("no/such/file.onnx"), &setup).err().unwrap();
        assert!(error.kind == Kind::Io && error.to_string().starts_with("no/such/file.onnx: "));
    }
    let loop_of_text = model("g (string[N] x) => (string[N] y) { y = Identity (x) }");
    for setup in both() {
        let run = |x: Array| Session::from_bytes(&loop_of_text, &setup)?.run(&[("x", x)]);
        told(run(array![1f32].into()));
    }
}

#[test]
fn a_library_or_device_that_is_not_there_is_told() {
    let bytes = model("g (float[N] x) => (float[N] y) { y = Relu (x) }");
    let open = |setup: Setup| Session::from_bytes(&bytes, &setup);
    let folder = tempfile::tempdir().unwrap();
    let named = |library: PathBuf| Setup { library: Some(library), ..onnxruntime() };
    let text = told(open(named(folder.path().into())));
    assert!(text.contains("pip install onnxruntime"), "{text}");
    let error = open(named("/no/such/library.so".into())).err().unwrap();
    assert!(error.to_string().contains("pip install onnxruntime"), "{error}");
    let cuda = Setup { provider: Provider::Cuda, ..onnxruntime() };
    let text = told(open(cuda));
    assert!(text.contains("'cuda'") && text.contains("it has: cpu"), "{text}");
    let tract = Setup { provider: Provider::Cuda, ..Setup::default() };
    assert!(told(open(tract)).contains("on the cpu"));
}

/// Several runs at once give what each gives alone, in their order; a failure is told.
#[test]
fn many_runs_at_once_come_in_order() {
    let bytes = model("g (float[N] x) => (float[N] y) { [neg] y = Neg (x) }");
    for (backend, lanes) in [(Backend::Tract, 3), (Backend::OnnxRuntime, 1)] {
        let setup = Setup { backend, threads: 3.try_into().ok(), ..onnxruntime() };
        let mut session = Session::from_bytes(&bytes, &setup).unwrap();
        assert_eq!(session.lanes(), lanes);
        let x = |i: usize| Array1::from_elem(1 + i % 2, i as f32);
        let mut jobs: Vec<_> = (0..8).map(|i| vec![("x".to_owned(), Array::from(x(i)))]).collect();
        let outputs = session.run_all(&jobs).unwrap();
        for (i, output) in outputs.iter().enumerate() {
            assert_eq!(output[0].1, Array::from(-x(i)), "{i}");
        }
        jobs[5][0].1 = array![1f64].into();
        assert!(told(session.run_all(&jobs)).contains("double where the model takes float"));
    }
}

#[test]
fn threads_change_nothing_in_what_is_computed() {
    let model = augment(&shipped(), &options(&["logits"], "top:3", "weights,bias,icd"));
    let bytes = to_bytes(&model).unwrap();
    let jobs: Vec<_> = (0..4).map(|i| vec![("input".to_owned(), digit(i).into())]).collect();
    let run = |setup: &Setup, threads: usize| {
        let setup = Setup { threads: threads.try_into().ok(), ..setup.clone() };
        Session::from_bytes(&bytes, &setup).unwrap().run_all(&jobs).unwrap().concat()
    };
    for setup in both() {
        for ((name, a), (_, b)) in run(&setup, 1).iter().zip(&run(&setup, 2)) {
            assert!(distance(&a.to_f64(), &b.to_f64()) < 1e-5, "{name}");
        }
    }
}

/// Both engines on a model's file, with its weights inside, beside it, and in the source.
#[test]
fn files_with_external_data_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(shipped(), at("m.onnx")).unwrap();
    let model = augment(&at("m.onnx"), &options(&["logits"], "top:2", "weights,bias"));
    let mut results = Vec::new();
    for weights in [Weights::Keep, Weights::External, Weights::Reference] {
        let path = at(&format!("{weights:?}.onnx"));
        emit(&model, &path, weights).unwrap();
        for setup in both() {
            let mut session = Session::open(&path, &setup).unwrap();
            results.push(session.run(&[("input", Array::from(digit(5)))]).unwrap());
        }
    }
    for result in &results {
        for ((name, a), (_, b)) in result.iter().zip(&results[0]) {
            assert!(distance(&a.to_f64(), &b.to_f64()) < 1e-5, "{name}");
        }
    }
}

#[test]
fn engines_agree_on_real_models() {
    let Some(folder) = data() else { return };
    for name in ["2conv_mnist_true", "2conv_cifar10_true", "resnet20_cifar10", "mnist_cntk_ort"] {
        let (x, _) = golden(&folder.join(format!("golden/{name}.npz")));
        let x = x.slice_axis(ndarray::Axis(0), (..1).into()).to_owned();
        let runs = both().map(|setup| {
            let path = folder.join(format!("models/{name}.onnx"));
            let mut session = Session::open(&path, &setup).unwrap();
            let input = session.inputs()[0].name.clone();
            session.run(&[(input, Array::from(x.clone()))]).unwrap()
        });
        for ((output, a), (_, b)) in runs[0].iter().zip(&runs[1]) {
            let apart = distance(&a.to_f64(), &b.to_f64());
            println!("{name} {output}: {apart:.1e}");
            assert!(apart < 1e-4, "{name} {output}: {apart}");
        }
    }
}
