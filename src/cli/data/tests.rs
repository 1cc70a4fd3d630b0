use image::{GrayImage, Luma, Rgb, RgbImage};
use ndarray::{Array1, array};

use super::*;
use crate::engine::tract::Session;

fn wanted(name: &str) -> Wanted {
    Wanted { name: name.into(), ..Wanted::default() }
}

/// An input whose samples have these extents.
fn shaped(sample: &[usize]) -> Wanted {
    Wanted { name: "x".into(), sample: Some(sample.iter().map(|&n| Some(n)).collect()) }
}

fn open(path: &Path, preprocess: Option<&str>, wanted: Wanted) -> Result<Dataset> {
    let preprocess = preprocess.map(|text| text.parse().unwrap());
    Dataset::open(&[path.to_owned()], preprocess.as_ref(), wanted)
}

fn read(path: &Path, preprocess: Option<&str>, wanted: Wanted) -> Result<Batch> {
    open(path, preprocess, wanted)?.all()
}

/// A folder with one `.npz` file of these arrays.
fn npz(arrays: &[(&str, Array)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let mut npz = ndarray_npy::NpzWriter::new(std::fs::File::create(&path).unwrap());
    for (name, array) in arrays {
        match array {
            Array::F32(a) => npz.add_array(*name, a),
            Array::F64(a) => npz.add_array(*name, a),
            Array::U8(a) => npz.add_array(*name, a),
            Array::U64(a) => npz.add_array(*name, a),
            Array::I64(a) => npz.add_array(*name, a),
            Array::I32(a) => npz.add_array(*name, a),
            Array::Bool(a) => npz.add_array(*name, a),
            other => panic!("{:?}", other.dtype()),
        }
        .unwrap();
    }
    npz.finish().unwrap();
    (folder, path)
}

fn told<T>(result: Result<T>) -> String {
    result.err().expect("this should have failed").to_string()
}

#[test]
fn arrays_of_every_type_come_back_by_name() {
    let arrays: [Array; 7] = [
        array![[1f32, 2.0]].into(),
        array![[1f64, 2.0]].into(),
        array![[1u8, 2]].into(),
        array![[1u64, 2]].into(),
        array![[1i64, 2]].into(),
        array![[1i32, 2]].into(),
        array![[true, false]].into(),
    ];
    for a in arrays {
        let (_folder, path) = npz(&[("slp/x/icd", a.clone())]);
        let read = read(&path, None, wanted("other")).unwrap().values;
        assert_eq!(read.to_f64(), a.to_f64());
        assert_eq!(read.dtype() == a.dtype(), matches!(a, Array::F32(_) | Array::F64(_)));
    }
}

#[test]
fn the_array_is_chosen_by_name() {
    let numbered = |n: f32| Array::from(array![n]);
    let all = [("a", numbered(1.0)), ("images", numbered(2.0)), ("input", numbered(3.0))];
    let first = |arrays: &[(&str, Array)], name| {
        let (_folder, path) = npz(arrays);
        read(&path, None, wanted(name)).map(|data| data.values.to_f64()[0])
    };
    assert_eq!(first(&all, "a").unwrap(), 1.0);
    assert_eq!(first(&all, "other").unwrap(), 2.0);
    assert_eq!(first(&all[2..], "other").unwrap(), 3.0);
    assert_eq!(first(&all[..1], "other").unwrap(), 1.0);
    let two = [("a", numbered(1.0)), ("b", numbered(2.0))];
    assert!(told(first(&two, "c")).contains("name one of them 'c'"));
}

#[test]
fn labels_are_read_along_and_must_be_as_many() {
    let x = ("x", Array::from(array![[1f32], [2.0]]));
    let with = |labels: Array| npz(&[x.clone(), ("labels", labels)]);
    let (_folder, path) = with(array![3i64, 4].into());
    let set = open(&path, None, wanted("x")).unwrap();
    let labels: Vec<_> = set.batches(1).map(|batch| batch.unwrap().labels).collect();
    assert_eq!(labels, [Some(vec![3]), Some(vec![4])]);
    let (_folder, path) = with(array![3i64, 4, 5].into());
    assert!(told(open(&path, None, wanted("x"))).contains("3 labels for 2 samples"));
    let (_folder, path) = with(array![3f32, 4.5].into());
    assert!(told(open(&path, None, wanted("x"))).contains("no whole numbers"));
}

#[test]
fn npy_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    ndarray_npy::write_npy(&path, &array![[1u8, 2]]).unwrap();
    assert_eq!(read(&path, None, wanted("x")).unwrap().values, array![[1f32, 2.0]].into());
    std::fs::write(&path, b"\x93NUMPY rubbish").unwrap();
    assert!(told(read(&path, None, wanted("x"))).contains("cannot read the array"));
}

#[test]
fn values_of_arrays_are_preprocessed_along_their_channels() {
    let array = array![[[[10u8]], [[20]], [[30]]]];
    let (_folder, path) = npz(&[("x", array.into())]);
    let run = |text: &str| read(&path, Some(text), wanted("x"));
    let got = |text| run(text).unwrap().values.to_f64().into_raw_vec_and_offset().0;
    assert_eq!(got("scale=0.5"), [5.0, 10.0, 15.0]);
    assert_eq!(got("mean=1,2,3,std=1,2,3"), [9.0, 9.0, 9.0]);
    assert_eq!(got("channels=bgr,mean=30,20,10"), [0.0, 0.0, 0.0]);
    assert!(told(run("mean=1,2")).contains("2 numbers for 'mean' where there are 3 channels"));
    assert!(told(run("crop=5")).contains("neither resized nor cropped"));
}

#[test]
fn a_single_sample_may_come_without_its_axis() {
    let (_folder, path) = npz(&[("x", array![[[10f32]], [[20.0]], [[30.0]]].into())]);
    let one = read(&path, Some("mean=10,20,30"), shaped(&[3, 1, 1])).unwrap();
    assert_eq!(one.values, array![[[[0f32]], [[0.0]], [[0.0]]]].into());
    let three = read(&path, None, shaped(&[1, 1])).unwrap();
    assert_eq!(three.values.shape(), [3, 1, 1]);
    let error = told(read(&path, None, shaped(&[2, 1])));
    assert!(error.contains("a.npz") && error.contains("[3, 1, 1] where a sample"), "{error}");
}

#[test]
fn pictures_become_planes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    RgbImage::from_fn(2, 1, |x, _| Rgb([x as u8, 10, 20])).save(&path).unwrap();
    let got = |text: &str| read(&path, Some(text), wanted("x")).unwrap().values;
    assert_eq!(got("channels=rgb"), array![[[[0f32, 1.0]], [[10.0, 10.0]], [[20.0, 20.0]]]].into());
    assert_eq!(got("channels=bgr"), array![[[[20f32, 20.0]], [[10.0, 10.0]], [[0.0, 1.0]]]].into());
    assert_eq!(got("layout=nhwc"), array![[[[0f32, 10.0, 20.0], [1.0, 10.0, 20.0]]]].into());
    assert_eq!(got("channels=gray").shape(), [1, 1, 1, 2]);
    for (text, shape) in [
        ("resize=4", [1, 3, 4, 8]),
        ("resize=5x7", [1, 3, 5, 7]),
        ("resize=4,crop=3x5", [1, 3, 3, 5]),
        ("resize=4,crop=6", [1, 3, 6, 6]),
        ("crop=6", [1, 3, 6, 6]),
    ] {
        assert_eq!(got(text).shape(), shape, "{text}");
    }
    let grey = read(&path, None, shaped(&[1, 1, 2])).unwrap();
    assert_eq!(grey.values.shape(), [1, 1, 1, 2]);
    let whole = read(&path, None, shaped(&[1, 3, 1, 2])).unwrap();
    assert_eq!(whole.values.shape(), [1, 1, 3, 1, 2]);
}

#[test]
fn presets_compute_what_the_help_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    RgbImage::from_pixel(1, 1, Rgb([51, 102, 204])).save(&path).unwrap();
    let cases = [
        ("unit", [0.2, 0.4, 0.8]),
        ("imagenet", [(0.2 - 0.485) / 0.229, (0.4 - 0.456) / 0.224, (0.8 - 0.406) / 0.225]),
        ("caffe", [204.0 - 104.0, 102.0 - 117.0, 51.0 - 123.0]),
        ("tf", [51.0 / 127.5 - 1.0, 102.0 / 127.5 - 1.0, 204.0 / 127.5 - 1.0]),
        ("inception", [51.0 / 127.5 - 1.0, 102.0 / 127.5 - 1.0, 204.0 / 127.5 - 1.0]),
    ];
    for (name, expected) in cases {
        let got = read(&path, Some(name), wanted("x")).unwrap().values.to_f64();
        let right = got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(right, "{name}: {got}");
    }
}

#[test]
fn a_size_of_another_model_needs_a_rule() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    RgbImage::new(3, 2).save(&path).unwrap();
    let fit = |text| read(&path, text, shaped(&[3, 4, 4]));
    for text in [None, Some("unit"), Some("resize=4"), Some("crop=3")] {
        let error = told(fit(text));
        assert!(error.contains("a.png") && error.contains("the model takes 4 × 4"), "{error}");
        assert!(error.contains("crop=4x4"), "{error}");
    }
    for text in ["crop=4", "resize=4x4", "resize=9,crop=4"] {
        assert_eq!(fit(Some(text)).unwrap().values.shape(), [1, 3, 4, 4], "{text}");
    }
    let error = told(fit(Some("crop=4,channels=gray")));
    assert!(error.contains("[1, 4, 4] where a sample of the model has [3, 4, 4]"), "{error}");
}

#[test]
fn a_size_past_all_reason_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    GrayImage::new(3000, 1).save(&path).unwrap();
    for text in ["resize=16384", "crop=16384"] {
        assert!(told(read(&path, Some(text), wanted("x"))).contains("pixels"), "{text}");
    }
}

#[test]
fn a_crop_is_taken_from_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    GrayImage::from_fn(4, 4, |x, y| Luma([(10 * y + x) as u8])).save(&path).unwrap();
    let read = read(&path, Some("resize=4,crop=2,channels=gray"), wanted("x")).unwrap();
    assert_eq!(read.values, array![[[[11f32, 12.0], [21.0, 22.0]]]].into());
}

#[test]
fn a_folder_is_read_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    let grey = || Some("channels=gray");
    assert!(told(read(folder.path(), grey(), wanted("x"))).contains("no .png or .jpg"));
    for (name, shade, side) in [("b.png", 2, 1), ("a.png", 1, 1), ("c.txt", 0, 1)] {
        let image = GrayImage::from_pixel(side, side, Luma([shade]));
        image.save_with_format(folder.path().join(name), image::ImageFormat::Png).unwrap();
    }
    let data = read(folder.path(), grey(), wanted("x")).unwrap();
    assert_eq!(data.names, ["a.png", "b.png"]);
    assert_eq!(data.values, array![[[[1f32]]], [[[2.0]]]].into());
    GrayImage::new(2, 2).save(folder.path().join("d.png")).unwrap();
    let error = told(read(folder.path(), grey(), wanted("x")));
    assert!(error.contains("d.png") && error.contains("those before have [1, 1, 1]"), "{error}");
}

/// Files of several kinds one after another, cut into batches across their ends.
#[test]
fn batches_go_through_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let (npy, picture) = (folder.path().join("a.npy"), folder.path().join("p.png"));
    ndarray_npy::write_npy(&npy, &array![[[[1u8]]], [[[2]]], [[[3]]]]).unwrap();
    GrayImage::from_pixel(1, 1, Luma([9])).save(&picture).unwrap();
    let paths = [npy.clone(), picture, npy];
    let set = Dataset::open(&paths, Some(&"channels=gray".parse().unwrap()), wanted("x")).unwrap();
    assert_eq!((set.len(), set.is_empty()), (7, false));
    let all = [1.0, 2.0, 3.0, 9.0, 1.0, 2.0, 3.0];
    for size in 1..9 {
        let batches: Vec<_> = set.batches(size).map(Result::unwrap).collect();
        let sizes: Vec<_> = batches.iter().map(|batch| batch.values.shape()[0]).collect();
        assert!(sizes.iter().rev().skip(1).all(|&n| n == size), "{sizes:?}");
        let values: Vec<_> = batches.iter().flat_map(|b| b.values.to_f64()).collect();
        assert_eq!(values, all);
        let names: Vec<_> = batches.iter().flat_map(|b| b.names.clone()).collect();
        assert_eq!(names[2..5], ["a.npy[2]", "p.png", "a.npy[0]"]);
    }
    let few = set.limited(Some(4));
    assert_eq!(few.batches(3).map(|b| b.unwrap().names.len()).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn what_is_not_a_number_is_named_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    for (odd, name) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let (good, bad) = (folder.path().join("good.npy"), folder.path().join("bad.npy"));
        ndarray_npy::write_npy(&good, &array![[1f32]]).unwrap();
        ndarray_npy::write_npy(&bad, &array![[1f32], [odd]]).unwrap();
        let set = Dataset::open(&[good, bad], None, wanted("x")).unwrap();
        let batches: Vec<_> = set.batches(1).collect();
        assert_eq!(batches.len(), 3);
        let error = told(batches.into_iter().nth(2).unwrap());
        assert!(
            error.contains("bad.npy")
                && error.contains(&format!("sample 1 of the file holds {name}")),
            "{error}"
        );
    }
}

#[test]
fn what_cannot_be_used_is_found_before_the_work_begins() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    ndarray_npy::write_npy(at("good.npy"), &array![[[[1f32]]]]).unwrap();
    ndarray_npy::write_npy(at("bad.npy"), &array![[[[1f32]]], [[[f32::NAN]]]]).unwrap();
    std::fs::write(at("bad.png"), "no picture").unwrap();
    // What the content is counts, not what the file is called.
    GrayImage::new(1, 1).save_with_format(at("odd.jpg"), image::ImageFormat::Png).unwrap();
    let open = |names: &[&str], most| {
        let paths: Vec<PathBuf> = names.iter().map(|name| at(name)).collect();
        let grey = "channels=gray".parse().unwrap();
        Dataset::open(&paths, Some(&grey), wanted("x")).unwrap().limited(most).checked()
    };
    assert_eq!(open(&["good.npy", "odd.jpg"], None).unwrap().window(0, 9).unwrap().names.len(), 2);
    assert!(open(&["good.npy", "bad.npy"], Some(2)).is_ok());
    assert!(open(&["good.npy", "bad.png"], Some(1)).is_ok());
    let picture = std::fs::read(at("odd.jpg")).unwrap();
    std::fs::write(at("cut.png"), &picture[..picture.len() / 2]).unwrap();
    let error = told(open(&["cut.png"], None).and_then(|set| set.window(0, 1)));
    assert!(error.contains("cut.png") && error.contains("ends before it is whole"), "{error}");
    let error = told(open(&["good.npy", "bad.npy"], None));
    assert!(
        error.contains("bad.npy") && error.contains("sample 1 of the file holds NaN"),
        "{error}"
    );
    let error = told(open(&["good.npy", "bad.png"], None));
    assert!(error.contains("bad.png") && error.contains("no picture"), "{error}");
}

#[test]
fn what_is_no_data_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.png", "a.npz", "a.npy", "a.txt"] {
        let path = folder.path().join(name);
        assert!(told(open(&path, None, wanted("x"))).contains(name));
        std::fs::write(&path, b"no data at all").unwrap();
        assert!(told(read(&path, None, wanted("x"))).contains(name));
    }
    let path = folder.path().join("none.npy");
    ndarray_npy::write_npy(&path, &ndarray::Array2::<f32>::zeros((0, 3))).unwrap();
    assert!(told(open(&path, None, wanted("x"))).contains("no samples"));
}

#[test]
fn real_networks_name_real_pictures() {
    let Some(folder) = std::env::var_os("SLPC_TESTDATA").map(PathBuf::from) else {
        eprintln!("SKIPPED: SLPC_TESTDATA is not set");
        return;
    };
    let models = [
        ("squeezenet11_imagenet.onnx", "data_0", "caffe,resize=256,crop=224"),
        ("mobilenetv1_025_224_imagenet.onnx", "input", "tf,resize=256,crop=224"),
    ];
    let pictures =
        [("goldfish.jpg", 1), ("dog.jpg", 207), ("bald_eagle.jpeg", 22), ("coffee.png", 967)];
    for (model, input, settings) in models {
        let path = folder.join("models").join(model);
        let session = Session::load(&path, &[(input.into(), vec![1, 3, 224, 224])]).unwrap();
        let known = if input == "input" { 2 } else { 4 };
        for (picture, class) in &pictures[..known] {
            let path = folder.join("images").join(picture);
            let data = read(&path, Some(settings), shaped(&[3, 224, 224])).unwrap();
            let scores = session.run(&[(input, data.values)]).unwrap().remove(0).1.to_f64();
            let scores: Array1<f64> = scores.iter().copied().collect();
            let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            assert_eq!(best, Some(*class), "{model} on {picture}");
        }
    }
}
