use image::{GrayImage, Luma, Rgb, RgbImage};
use ndarray::{Array1, array};

use super::*;
use crate::engine::tract::Session;

fn wanted(name: &str) -> Wanted {
    Wanted { name: name.into(), ..Wanted::default() }
}

/// A folder with one `.npz` file of these arrays.
fn npz(arrays: &[(&str, Array)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let arrays: Vec<_> = arrays.iter().map(|(n, a)| (n.to_string(), a.clone())).collect();
    write_npz(&path, &arrays).unwrap();
    (folder, path)
}

fn told(result: Result<Dataset>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn arrays_of_every_type_come_back_by_name() {
    let arrays: [Array; 6] = [
        array![[1f32, 2.0]].into(),
        array![[1f64, 2.0]].into(),
        array![[1u8, 2]].into(),
        array![[1i64, 2]].into(),
        array![[1i32, 2]].into(),
        array![[true, false]].into(),
    ];
    for a in arrays {
        let (_folder, path) = npz(&[("slp/x/icd", a.clone())]);
        let read = read(&path, None, &wanted("other")).unwrap().values;
        assert_eq!(read.to_f64(), a.to_f64());
        assert_eq!(read.dtype() == a.dtype(), matches!(a, Array::F32(_) | Array::F64(_)));
    }
}

#[test]
fn float16_is_widened() {
    let (_folder, path) = npz(&[("a", array![half::f16::from_f32(1.5)].into())]);
    let read = read(&path, None, &wanted("a")).unwrap();
    assert_eq!(read.values, array![1.5f32].into());
}

#[test]
fn the_array_is_chosen_by_name() {
    let numbered = |n: f32| Array::from(array![n]);
    let all = [("a", numbered(1.0)), ("images", numbered(2.0)), ("input", numbered(3.0))];
    let first = |arrays: &[(&str, Array)], name| {
        let (_folder, path) = npz(arrays);
        read(&path, None, &wanted(name)).map(|data| data.values.to_f64()[0])
    };
    assert_eq!(first(&all, "a").unwrap(), 1.0);
    assert_eq!(first(&all, "other").unwrap(), 2.0);
    assert_eq!(first(&all[2..], "other").unwrap(), 3.0);
    assert_eq!(first(&all[..1], "other").unwrap(), 1.0);
    let two = [("a", numbered(1.0)), ("b", numbered(2.0))];
    assert!(first(&two, "c").unwrap_err().to_string().contains("name one of them 'c'"));
}

#[test]
fn labels_are_read_along() {
    let labels: Array = array![3i64, 4].into();
    let (_folder, path) = npz(&[("x", array![[1f32], [2.0]].into()), ("labels", labels)]);
    assert_eq!(read(&path, None, &wanted("x")).unwrap().labels, Some(vec![3, 4]));
}

#[test]
fn npy_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    ndarray_npy::write_npy(&path, &array![[1u8, 2]]).unwrap();
    assert_eq!(read(&path, None, &wanted("x")).unwrap().values, array![[1f32, 2.0]].into());
    ndarray_npy::write_npy(&path, &array![1u64]).unwrap();
    assert!(told(read(&path, None, &wanted("x"))).contains("save it as float32"));
    std::fs::write(&path, b"\x93NUMPY rubbish").unwrap();
    assert!(told(read(&path, None, &wanted("x"))).contains("cannot read the array"));
}

#[test]
fn values_of_arrays_are_preprocessed_along_their_channels() {
    let array = array![[[[10u8]], [[20]], [[30]]]];
    let (_folder, path) = npz(&[("x", array.into())]);
    let run = |text: &str| read(&path, Some(&text.parse().unwrap()), &wanted("x"));
    let got = |text| run(text).unwrap().values.to_f64().into_raw_vec_and_offset().0;
    assert_eq!(got("scale=0.5"), [5.0, 10.0, 15.0]);
    assert_eq!(got("mean=1,2,3,std=1,2,3"), [9.0, 9.0, 9.0]);
    assert_eq!(got("channels=bgr,mean=30,20,10"), [0.0, 0.0, 0.0]);
    assert!(told(run("mean=1,2")).contains("2 numbers for 'mean' where there are 3 channels"));
    assert!(told(run("crop=5")).contains("neither resized nor cropped"));
}

#[test]
fn pictures_become_planes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    RgbImage::from_fn(2, 1, |x, _| Rgb([x as u8, 10, 20])).save(&path).unwrap();
    let got = |text: &str| read(&path, Some(&text.parse().unwrap()), &wanted("x")).unwrap().values;
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
    let fit = Wanted { channels: Some(1), size: Some((7, 9)), ..wanted("x") };
    assert_eq!(read(&path, None, &fit).unwrap().values.shape(), [1, 1, 7, 9]);
}

#[test]
fn a_size_past_all_reason_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    GrayImage::new(3000, 1).save(&path).unwrap();
    for text in ["resize=16384", "crop=16384"] {
        let result = read(&path, Some(&text.parse().unwrap()), &wanted("x"));
        assert!(told(result).contains("pixels"), "{text}");
    }
}

#[test]
fn a_crop_is_taken_from_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    GrayImage::from_fn(4, 4, |x, y| Luma([(10 * y + x) as u8])).save(&path).unwrap();
    let settings = "resize=4,crop=2,channels=gray".parse().unwrap();
    let read = read(&path, Some(&settings), &wanted("x")).unwrap();
    assert_eq!(read.values, array![[[[11f32, 12.0], [21.0, 22.0]]]].into());
}

#[test]
fn a_folder_is_read_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    assert!(told(read(folder.path(), None, &wanted("x"))).contains("no .png or .jpg"));
    for (name, shade, side) in [("b.png", 2, 1), ("a.png", 1, 1), ("c.txt", 0, 1)] {
        let image = GrayImage::from_pixel(side, side, Luma([shade]));
        image.save_with_format(folder.path().join(name), image::ImageFormat::Png).unwrap();
    }
    let grey = Wanted { channels: Some(1), ..wanted("x") };
    let data = read(folder.path(), None, &grey).unwrap();
    assert_eq!(data.names, ["a.png", "b.png"]);
    assert_eq!(data.values, array![[[[1f32]]], [[[2.0]]]].into());
    GrayImage::new(2, 2).save(folder.path().join("d.png")).unwrap();
    assert!(told(read(folder.path(), None, &grey)).contains("different sizes"));
}

#[test]
fn what_is_no_data_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.png", "a.npz", "a.npy", "a.txt"] {
        let path = folder.path().join(name);
        assert!(told(read(&path, None, &wanted("x"))).contains(name));
        std::fs::write(&path, b"no data at all").unwrap();
        assert!(told(read(&path, None, &wanted("x"))).contains(name));
    }
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
            let data = read(&path, Some(&settings.parse().unwrap()), &wanted(input)).unwrap();
            let scores = session.run(&[(input, data.values)]).unwrap().remove(0).1.to_f64();
            let scores: Array1<f64> = scores.iter().copied().collect();
            let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            assert_eq!(best, Some(*class), "{model} on {picture}");
        }
    }
}
