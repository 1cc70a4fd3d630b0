use std::fs::{File, write};
use std::io::Write;

use ndarray::{Array3, ShapeBuilder, array};
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, ZipArchive};

use super::npy::{Bytes, Npy};
use super::*;

/// A `.npy` file: its header, and then `elements`.
fn npy(descriptor: &str, fortran: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let text =
        format!("{{'descr': {descriptor}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), elements]
        .concat()
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    (folder, path)
}

fn opened(bytes: &[u8]) -> Result<ArrayD<f64>> {
    let (_folder, path) = folder();
    write(&path, bytes).unwrap();
    Npy::open(Bytes::of(&path)?)?.window(0, usize::MAX)
}

fn any(path: &Path) -> Result<Dataset> {
    let wanted = Wanted { name: "x".into(), sample: None };
    Dataset::open(&[path.to_owned()], None, wanted)
}

#[test]
fn elements_of_every_type_and_order_of_bytes_are_read() {
    let wanted = array![[1.0, 2.0], [3.0, 100.0]].into_dyn();
    macro_rules! check {
        ($($name:literal $type:ty),*) => {$(
            let [little, big]: [Vec<u8>; 2] = [<$type>::to_le_bytes, <$type>::to_be_bytes]
                .map(|to| [1u8, 2, 3, 100].iter().flat_map(|&n| to(<$type>::from(n))).collect());
            for (descriptor, bytes) in [("<", &little), ("=", &little), ("|", &little), (">", &big)] {
                let file = npy(&format!("'{descriptor}{}'", $name), "False", "(2, 2)", bytes);
                assert_eq!(opened(&file).unwrap(), wanted, "{descriptor}{}", $name);
            }
        )*};
    }
    check!("f2" half::f16, "f4" f32, "f8" f64, "i8" i64, "i4" i32, "i2" i16);
    check!("u8" u64, "u4" u32, "u2" u16, "u1" u8);
    let signed = npy("'|i1'", "False", "(2, 2)", &[1, 2, 3, 100]);
    assert_eq!(opened(&signed).unwrap(), wanted);
    let bools = npy("'|b1'", "False", "(4,)", &[0, 1, 0, 1]);
    assert_eq!(opened(&bools).unwrap(), array![0.0, 1.0, 0.0, 1.0].into_dyn());
    assert_eq!(opened(&npy("'|u1'", "False", "()", &[7])).unwrap().shape(), [0usize; 0]);
}

#[test]
fn windows_are_the_samples_asked_for_in_both_orders() {
    let all = Array3::from_shape_fn((5, 2, 3), |(n, i, j)| (100 * n + 10 * i + j) as f32);
    let mut turned = Array3::zeros((5, 2, 3).f());
    turned.assign(&all);
    let (_folder, path) = folder();
    for array in [&all, &turned] {
        ndarray_npy::write_npy(&path, array).unwrap();
        let read = Npy::open(Bytes::of(&path).unwrap()).unwrap();
        for (start, count) in [(0usize, 5), (0, 1), (2, 2), (4, 9), (5, 1), (9, 1), (1, usize::MAX)]
        {
            let from = start.min(5);
            let to = start.saturating_add(count).min(5);
            let wanted = all.slice(ndarray::s![from..to, .., ..]).mapv(f64::from).into_dyn();
            assert_eq!(read.window(start, count).unwrap(), wanted, "{start} {count}");
        }
        let one = read.lifted();
        assert_eq!(
            one.window(0, 1).unwrap().index_axis(Axis(0), 0),
            all.mapv(f64::from).into_dyn()
        );
    }
}

/// One after another in a file, so that the second begins somewhere in it.
fn archive(path: &Path, compression: CompressionMethod, arrays: &[(&str, Vec<u8>)]) {
    let mut zip = ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in arrays {
        let options = SimpleFileOptions::default().compression_method(compression);
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn members_of_archives_are_read_from_where_they_are() {
    let (_folder, path) = folder();
    let path = path.with_extension("npz");
    let other = npy("'|u1'", "False", "(1, 3)", &[9, 9, 9]);
    let images = npy("'<i2'", "False", "(3, 1)", &[1, 0, 2, 0, 3, 0]);
    for compression in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        archive(&path, compression, &[("other", other.clone()), ("images", images.clone())]);
        let set = any(&path).unwrap();
        // Forwards, backwards, and the same again.
        for start in [0, 1, 2, 1, 1, 0] {
            let batch = set.window(start, 1).unwrap();
            assert_eq!(batch.values, array![[start as f32 + 1.0]].into());
            assert_eq!(batch.names, [format!("a.npz[{start}]")]);
        }
    }
}

#[test]
fn what_is_unpacked_may_be_larger_than_what_is_kept_in_memory() {
    let (_folder, path) = folder();
    let path = path.with_extension("npz");
    let mut elements = vec![0; 65 << 20];
    *elements.last_mut().unwrap() = 7;
    let large = npy("'|u1'", "False", "(65, 1048576)", &elements);
    archive(&path, CompressionMethod::Deflated, &[("x", large)]);
    assert!(path.metadata().unwrap().len() < 1 << 20);
    let last = any(&path).unwrap().window(64, 1).unwrap().values;
    assert_eq!((last.shape(), last.to_f64().sum()), (&[1, 1 << 20][..], 7.0));
}

/// A terabyte, of which nothing but the samples asked for can be read.
#[cfg(unix)]
#[test]
fn of_a_data_set_of_any_size_only_the_batch_is_read() {
    let (_folder, path) = folder();
    write(&path, npy("'|u1'", "False", "(1000000, 1048576)", &[])).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    let start = path.metadata().unwrap().len();
    file.set_len(start + (1_000_000 << 20)).unwrap();
    let set = any(&path).unwrap().checked().unwrap();
    assert_eq!(set.len(), 1_000_000);
    for start in [0, 999_998] {
        assert_eq!(set.window(start, 2).unwrap().values.shape(), [2, 1 << 20]);
    }
    let mut batches = set.batches(3);
    assert_eq!(batches.next().unwrap().unwrap().names[2], "a.npy[2]");
    file.set_len(start + (1_000_000 << 20) - 1).unwrap();
    let error = any(&path).err().unwrap().to_string();
    assert!(
        error.contains("a.npy") && error.contains("the array ends after 1048575999999"),
        "{error}"
    );
}

#[test]
fn a_file_that_was_cut_short_is_an_error_wherever_it_was() {
    let (_folder, path) = folder();
    let whole = npy("'<f4'", "False", "(2, 3)", &[0; 24]);
    for length in 0..whole.len() {
        write(&path, &whole[..length]).unwrap();
        let error = any(&path).err().unwrap_or_else(|| panic!("{length} bytes")).to_string();
        assert!(error.contains("a.npy"), "{error}");
    }
    for compression in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let path = path.with_extension("npz");
        archive(&path, compression, &[("x", whole.clone())]);
        let all = std::fs::read(&path).unwrap();
        for length in 0..all.len() {
            write(&path, &all[..length]).unwrap();
            assert!(any(&path).is_err(), "{length} bytes");
        }
        // A changed element is found by the checksum.
        write(&path, &all).unwrap();
        let mut zip = ZipArchive::new(File::open(&path).unwrap()).unwrap();
        let member = zip.by_index(0).unwrap();
        let end = member.data_start() + member.compressed_size() - 1;
        let mut changed = all;
        changed[end as usize] ^= 1;
        write(&path, changed).unwrap();
        let error = any(&path).err().unwrap().to_string();
        assert!(error.contains("a.npz") && error.contains("cannot read the archive"), "{error}");
    }
}

#[test]
fn headers_that_promise_what_cannot_be_are_refused() {
    let good = "'<f4'";
    for (descriptor, order, shape) in [
        (good, "False", "(9223372036854775807, 9223372036854775807)"),
        (good, "False", "(0, 9223372036854775807, 9223372036854775807)"),
        (good, "False", "(99999999999999999999999,)"),
        (good, "False", "(-1,)"),
        (good, "False", "(1000000,)"),
        (good, "False", "5"),
        (good, "Maybe", "(1,)"),
        ("'<c8'", "False", "(1,)"),
        ("'|O'", "False", "(1,)"),
        ("'<U3'", "False", "(1,)"),
        ("''", "False", "(1,)"),
        ("[('a', '<f4'), ('b', '<f4')]", "False", "(1,)"),
        ("7", "False", "(1,)"),
    ] {
        let file = npy(descriptor, order, shape, &[0; 8]);
        assert!(opened(&file).is_err(), "{descriptor} {order} {shape}");
    }
    let long = [b"\x93NUMPY\x02\x00", &u32::MAX.to_le_bytes()[..]].concat();
    assert!(opened(&long).unwrap_err().to_string().contains("too long"));
    assert!(opened(b"\x93NUMPY\x09\x00\x00\x00").unwrap_err().to_string().contains("version"));
    assert!(opened(b"rubbish, but long enough").unwrap_err().to_string().contains("no .npy data"));
    let record = opened(&npy("[('a', '<f4')]", "False", "(1,)", &[0; 8])).unwrap_err().to_string();
    assert!(record.contains("element type record"), "{record}");
}
