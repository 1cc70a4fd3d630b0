use half::{bf16, f16};
use ndarray::{Array2, ArrayD, array};
use ndarray_npy::{NpzReader, ReadNpyExt};

use super::*;

fn two(first: f32) -> Vec<(String, Array)> {
    let a = array![[first, 1.0], [2.0, 3.0]];
    vec![("slp/x/a".into(), a.into()), ("../b c".into(), array![first as i64, 9].into())]
}

fn written(output: &Path) -> Vec<Written> {
    let mut results = Results::new(output).unwrap();
    results.add(&two(0.0)).unwrap();
    results.add(&two(5.0)).unwrap();
    results.finish().unwrap()
}

fn told<T>(result: Result<T>) -> String {
    result.err().expect("this should have failed").to_string()
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

const A: [[f32; 2]; 4] = [[0.0, 1.0], [2.0, 3.0], [5.0, 1.0], [2.0, 3.0]];

#[test]
fn an_archive_holds_all_rows_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("o.npz");
    let list = written(&output);
    assert_eq!((&*list[0].name, &*list[0].shape), ("slp/x/a", &[4, 2][..]));
    let mut npz = NpzReader::new(File::open(&output).unwrap()).unwrap();
    assert_eq!(
        npz.by_name::<ndarray::OwnedRepr<f32>, ndarray::Ix2>("slp/x/a").unwrap(),
        Array2::from(A.to_vec())
    );
    let b: ArrayD<i64> = npz.by_name("../b c").unwrap();
    assert_eq!(b, array![0, 9, 5, 9].into_dyn());
    assert_eq!(entries(folder.path()), ["o.npz"]);
}

#[test]
fn a_folder_holds_a_file_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    written(&output);
    assert_eq!(entries(&output), ["b_c.npy", "slp.x.a.npy"]);
    let a = Array2::<f32>::read_npy(File::open(output.join("slp.x.a.npy")).unwrap()).unwrap();
    assert_eq!(a, Array2::from(A.to_vec()));
    assert_eq!(entries(folder.path()), ["out"]);
    assert!(told(Results::new(&output)).contains("there already"));
    let mut results = Results::new(&folder.path().join("twice")).unwrap();
    results.add(&[("a/b".into(), array![1].into()), ("a.b".into(), array![1].into())]).unwrap();
    assert!(told(results.finish()).contains("two arrays would be written as a.b.npy"));
    assert_eq!(entries(folder.path()), ["out"]);
}

#[test]
fn one_array_may_stand_alone() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("o.npy");
    let mut results = Results::new(&output).unwrap();
    assert!(told(results.add(&two(0.0))).contains("choose one with --array, of: slp/x/a, ../b c"));
    drop(results);
    assert_eq!(entries(folder.path()), [""; 0]);
    let mut results = Results::new(&output).unwrap();
    results.add(&two(0.0)[..1]).unwrap();
    results.add(&two(5.0)[..1]).unwrap();
    results.finish().unwrap();
    let a = Array2::<f32>::read_npy(File::open(output).unwrap()).unwrap();
    assert_eq!(a, Array2::from(A.to_vec()));
}

#[test]
fn every_element_type_is_written() {
    let folder = tempfile::tempdir().unwrap();
    macro_rules! comes_back {
        ($($type:ty: $array:expr, $expected:expr;)*) => {$({
            let output = folder.path().join("o.npy");
            let mut results = Results::new(&output).unwrap();
            results.add(&[("a".into(), Array::from($array))]).unwrap();
            results.finish().unwrap();
            let read = ArrayD::<$type>::read_npy(File::open(output).unwrap()).unwrap();
            assert_eq!(read, $expected.into_dyn());
        })*};
    }
    comes_back! {
        f32: array![1.5f32, 2.0], array![1.5, 2.0];
        f64: array![1.5f64, -2.0], array![1.5, -2.0];
        f32: array![bf16::ONE, bf16::NEG_ONE], array![1.0, -1.0];
        i64: array![1i64, i64::MIN], array![1, i64::MIN];
        i32: array![1i32, i32::MIN], array![1, i32::MIN];
        i16: array![1i16, i16::MIN], array![1, i16::MIN];
        i8: array![1i8, i8::MIN], array![1, i8::MIN];
        u64: array![1u64, u64::MAX], array![1, u64::MAX];
        u32: array![1u32, u32::MAX], array![1, u32::MAX];
        u16: array![1u16, u16::MAX], array![1, u16::MAX];
        u8: array![1u8, u8::MAX], array![1, u8::MAX];
        bool: array![true, false], array![true, false];
    }
    assert!(header(stored(&array![f16::ONE].into()), 1, &[]).starts_with(b"\x93NUMPY"));
}

#[test]
fn headers_have_one_length_whatever_the_number_of_rows() {
    for sample in [&[][..], &[1], &[3, 224, 224], &[usize::MAX; 20]] {
        let length = |rows| header(DataType::F32, rows, sample).len();
        assert_eq!(length(0) % 64, 0);
        assert_eq!(length(0), length(usize::MAX));
    }
}

#[test]
fn rows_of_another_shape_are_refused_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut results = Results::new(&folder.path().join("o.npz")).unwrap();
    results.add(&[("a".into(), array![[1f32, 2.0]].into())]).unwrap();
    for other in [array![[1f32]].into(), Array::from(array![[1f64, 2.0]])] {
        assert!(told(results.add(&[("a".into(), other)])).contains("samples of one size"));
    }
    drop(results);
    assert_eq!(entries(folder.path()), [""; 0]);
}

#[test]
fn where_nothing_can_be_written_is_told_at_once() {
    assert!(told(Results::new(Path::new("no/such/folder/o.npz"))).contains("no/such/folder"));
    assert!(told(Results::new(Path::new("o.txt"))).contains("not written as .txt"));
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("o.npz");
    std::fs::create_dir(&taken).unwrap();
    assert!(told(Results::new(&taken)).contains("it is a folder"));
}
