//! Files in, files out: nothing is lost, nothing panics, nothing half-written stays.

#[path = "onnx_io/schema.rs"]
mod schema;

use std::path::{Path, PathBuf};

use onnx_protobuf::{
    Message, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    ValueInfoProto,
};
use protobuf::EnumOrUnknown;
use protobuf::reflect::MessageDescriptor;
use protobuf::text_format::print_to_string_pretty;
use schema::{Filler, every_field, schema};
use slpc::error::Kind;
use slpc::onnx::{Weights, emit, load, load_bytes, text, to_bytes, write_to};

/// The folder of real models, or none, said aloud.
fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("SLPC_TESTDATA");
    if folder.is_none() {
        eprintln!("SKIPPED: SLPC_TESTDATA names no folder of test data");
    }
    folder.map(PathBuf::from)
}

/// Every real model.
fn models() -> Vec<PathBuf> {
    let Some(folder) = data() else { return Vec::new() };
    let files = std::fs::read_dir(folder.join("models")).expect("the folder of models");
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "onnx"));
    files.sort();
    assert!(files.len() > 10, "real models are missing");
    files
}

/// The file as the independent reader sees it, typed elements made raw.
fn read(path: &Path) -> ModelProto {
    let mut model = ModelProto::parse_from_bytes(&std::fs::read(path).unwrap()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    graph.initializer.iter_mut().for_each(raw);
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        if let Some(tensor) = attribute.t.as_mut() {
            raw(tensor);
        }
    }
    model
}

fn raw(tensor: &mut TensorProto) {
    // Elements that are outside stay there.
    if tensor.raw_data.is_empty() && tensor.external_data.is_empty() {
        tensor.raw_data = match tensor.data_type {
            1 => tensor.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            7 => tensor.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            6 => tensor.int32_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            10 => tensor.int32_data.iter().flat_map(|&v| (v as u16).to_le_bytes()).collect(),
            9 => tensor.int32_data.iter().map(|&v| v as u8).collect(),
            other => panic!("typed data of type {other} in a test model"),
        };
        tensor.float_data.clear();
        tensor.int64_data.clear();
        tensor.int32_data.clear();
    }
}

#[test]
fn real_models_come_out_as_they_went_in() {
    let folder = tempfile::tempdir().unwrap();
    for path in models() {
        let copy = folder.path().join("copy.onnx");
        emit(&load(&path).unwrap(), &copy, Weights::Keep).unwrap();
        assert!(read(&path) == read(&copy), "{} has changed", path.display());
    }
}

/// A model with every field of the schema set, and the schema.
fn full() -> (MessageDescriptor, Vec<u8>, Filler) {
    let kind = schema().message_by_package_relative_name("ModelProto").unwrap();
    let mut filler = Filler::default();
    let bytes = filler.fill(&kind, 0).write_to_bytes_dyn().unwrap();
    (kind, bytes, filler)
}

#[test]
fn every_field_of_the_schema_survives() {
    let (kind, bytes, filler) = full();
    let missing: Vec<_> = every_field(&schema()).difference(&filler.seen).cloned().collect();
    assert!(missing.is_empty(), "fields not filled: {missing:?}");
    let out = to_bytes(&load_bytes(bytes.clone().into(), None).unwrap()).unwrap();
    let print = |bytes: &[u8]| {
        let mut message = kind.new_instance();
        message.merge_from_bytes_dyn(bytes).unwrap();
        print_to_string_pretty(&*message)
    };
    let (before, after) = (print(&bytes), print(&out));
    for (line, (a, b)) in before.lines().zip(after.lines()).enumerate() {
        assert_eq!(a, b, "line {line} of the text has changed");
    }
    assert_eq!(before.len(), after.len());
}

#[test]
fn the_independent_reader_sees_every_field_unchanged() {
    let (_, bytes, _) = full();
    let out = to_bytes(&load_bytes(bytes.clone().into(), None).unwrap()).unwrap();
    let [before, after] = [bytes, out].map(|b| ModelProto::parse_from_bytes(&b).unwrap());
    assert!(before == after);
    // It knows these under the same numbers, so they are not merely carried through unread.
    let graph = after.graph.as_ref().unwrap();
    assert!(graph.initializer[0].raw_data.len() == 4 && graph.node[0].attribute.len() == 16);
    assert!(!after.functions.is_empty() && !after.training_info.is_empty());
}

/// Loads and, where that succeeds, writes: neither may panic.
fn survive(bytes: Vec<u8>) -> bool {
    load_bytes(bytes.into(), None).and_then(|model| to_bytes(&model)).is_ok()
}

#[test]
fn truncated_files_are_errors() {
    let (_, bytes, _) = full();
    let step = bytes.len() / 200 + 1;
    let readable = (0..bytes.len()).step_by(step).filter(|&n| survive(bytes[..n].to_vec()));
    // Only a cut between the last fields of the message leaves a model.
    assert!(readable.count() < 100);
    let bytes = small().write_to_bytes().unwrap();
    let readable = (0..bytes.len()).filter(|&n| survive(bytes[..n].to_vec()));
    assert!(readable.count() < 5);
}

#[test]
fn flipped_bytes_never_panic() {
    let mut state = 1u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for (bytes, cases) in [(small().write_to_bytes().unwrap(), 2000), (full().1, 50)] {
        for _ in 0..cases {
            let mut bytes = bytes.clone();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            survive(bytes);
        }
    }
}

#[test]
fn hostile_nesting_is_an_error() {
    let field = |number: u8, mut bytes: Vec<u8>| {
        let mut length = bytes.len();
        let mut out = vec![number << 3 | 2];
        while length > 127 {
            out.push(length as u8 | 128);
            length >>= 7;
        }
        out.push(length as u8);
        out.append(&mut bytes);
        out
    };
    // A graph (7) of a model, then over and over: node (1), attribute (5), graph (6).
    for (levels, fine) in [(20, true), (60, false), (20_000, false)] {
        let mut bytes = Vec::new();
        for _ in 0..levels {
            let mut node = field(4, b"If".to_vec());
            node.extend(field(5, field(6, bytes)));
            bytes = field(1, node);
        }
        let mut model = field(7, bytes);
        model.extend(field(8, vec![16, 17]));
        assert_eq!(survive(model), fine, "{levels} levels");
    }
}

/// y = x + w, w being four floats.
fn small() -> ModelProto {
    let mut model = ModelProto { ir_version: 8, ..ModelProto::default() };
    model.opset_import.push(OperatorSetIdProto { version: 17, ..Default::default() });
    let graph = model.graph.mut_or_insert_default();
    graph.input.push(ValueInfoProto { name: "x".into(), ..Default::default() });
    graph.output.push(ValueInfoProto { name: "y".into(), ..Default::default() });
    let mut w = TensorProto { name: "w".into(), data_type: 1, dims: vec![4], ..Default::default() };
    w.raw_data = (1..=16).collect();
    graph.initializer.push(w);
    graph.node.push(NodeProto {
        op_type: "Add".into(),
        input: vec!["x".into(), "w".into()],
        output: vec!["y".into()],
        ..Default::default()
    });
    model
}

/// [`small`] with w outside, described by `entries`.
fn outside(entries: &[(&str, &str)]) -> ModelProto {
    let mut model = small();
    let w = &mut model.graph.as_mut().unwrap().initializer[0];
    w.raw_data.clear();
    w.data_location = EnumOrUnknown::from_i32(1);
    for (key, value) in entries {
        let (key, value) = (key.to_string(), value.to_string());
        w.external_data.push(StringStringEntryProto { key, value, ..Default::default() });
    }
    model
}

fn write(model: &ModelProto, path: &Path) {
    std::fs::write(path, model.write_to_bytes().unwrap()).unwrap();
}

/// The bytes of w, wherever they are.
fn weight(path: &Path) -> Vec<u8> {
    let model = load(path).unwrap();
    let w = model.graph.find("w").unwrap();
    model.graph.value(w).tensor.as_ref().unwrap().bytes().to_vec()
}

#[test]
fn external_data_stays_in_the_folder() {
    let top = tempfile::tempdir().unwrap();
    let folder = top.path().join("model");
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    let bytes: Vec<u8> = (0..20).collect();
    for file in ["w.bin", "sub/w.bin", "../secret"] {
        std::fs::write(folder.join(file), &bytes).unwrap();
    }
    std::os::unix::fs::symlink("w.bin", folder.join("inner")).unwrap();
    std::os::unix::fs::symlink("../secret", folder.join("outer")).unwrap();
    std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
    let path = folder.join("m.onnx");
    let absolute = folder.join("w.bin").to_str().unwrap().to_owned();
    let good: [&[(&str, &str)]; 5] = [
        &[("location", "w.bin")],
        &[("location", "w.bin"), ("offset", "3"), ("length", "16")],
        &[("length", "16"), ("location", "./sub/w.bin"), ("checksum", "abc")],
        &[("location", "inner"), ("offset", "4")],
        &[("location", "w.bin"), ("length", "20")],
    ];
    for entries in good {
        write(&outside(entries), &path);
        let at = entries.iter().find(|e| e.0 == "offset").map_or(0, |e| e.1.parse().unwrap());
        assert_eq!(weight(&path)[..16], bytes[at..at + 16]);
    }
    let bad: [(&[(&str, &str)], Kind); 13] = [
        (&[("location", "../secret")], Kind::Request),
        (&[("location", "sub/../w.bin")], Kind::Request),
        (&[("location", &absolute)], Kind::Request),
        (&[("location", "outer")], Kind::Request),
        (&[("location", "up/secret")], Kind::Request),
        (&[("location", "")], Kind::Request),
        (&[], Kind::Request),
        (&[("location", "w.bin"), ("offset", "5")], Kind::Request),
        (&[("location", "w.bin"), ("length", "21")], Kind::Request),
        (&[("location", "w.bin"), ("offset", "18446744073709551615")], Kind::Request),
        (&[("location", "w.bin"), ("offset", "-1")], Kind::Unreadable),
        (&[("location", "w.bin"), ("length", "8")], Kind::Unreadable),
        (&[("location", "absent")], Kind::Io),
    ];
    for (entries, kind) in bad {
        write(&outside(entries), &path);
        let error = load(&path).unwrap_err();
        assert_eq!(error.kind, kind, "{entries:?}: {error}");
    }
    let error = load_bytes(outside(good[0]).write_to_bytes().unwrap().into(), None).unwrap_err();
    assert_eq!(error.kind, Kind::Request, "{error}");
}

#[test]
fn external_data_follows_the_model() {
    let top = tempfile::tempdir().unwrap();
    std::fs::write(top.path().join("w.bin"), [7; 20]).unwrap();
    let (path, sub) = (top.path().join("m.onnx"), top.path().join("sub"));
    std::fs::create_dir(&sub).unwrap();
    write(&outside(&[("location", "w.bin"), ("offset", "4"), ("length", "16")]), &path);
    let model = load(&path).unwrap();

    let beside = top.path().join("copy.onnx");
    assert_eq!(emit(&model, &beside, Weights::Keep).unwrap().data, None);
    assert!(read(&path) == read(&beside));

    let away = sub.join("copy.onnx");
    let (data, bytes) = emit(&model, &away, Weights::Keep).unwrap().data.unwrap();
    assert_eq!((data.parent(), bytes), (Some(&*sub), 16));
    let name = data.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("copy.onnx.") && name.ends_with(".data"), "{name}");
    assert_eq!(weight(&away), [7; 16]);

    // The model replaces the very file its weights are in.
    std::fs::rename(top.path().join("w.bin"), top.path().join("copy.onnx.data")).unwrap();
    write(&outside(&[("location", "copy.onnx.data"), ("offset", "4")]), &beside);
    emit(&load(&beside).unwrap(), &beside, Weights::Keep).unwrap();
    assert_eq!(weight(&beside), [7; 16]);

    let whole = to_bytes(&load(&beside).unwrap()).unwrap();
    assert!(survive(whole), "a model in one piece needs no folder");
}

#[test]
fn weights_go_where_they_are_wanted() {
    let top = tempfile::tempdir().unwrap();
    let sub = top.path().join("sub");
    std::fs::create_dir(&sub).unwrap();
    for path in models() {
        let original = sub.join("original.onnx");
        std::fs::copy(&path, &original).unwrap();
        let model = load(&original).unwrap();
        let contents = |path: &Path| {
            let model = load(path).unwrap();
            let tensors = model.graph.values().filter_map(|(_, value)| value.tensor.clone());
            tensors.map(|t| (t.dims.clone(), t.bytes().to_vec())).collect::<Vec<_>>()
        };
        let expected = contents(&original);
        for (out, weights) in [
            (sub.join("external.onnx"), Weights::External),
            (sub.join("reference.onnx"), Weights::Reference),
            (top.path().join("reference.onnx"), Weights::Reference),
            (top.path().join("keep.onnx"), Weights::Keep),
        ] {
            let written = emit(&model, &out, weights).unwrap();
            assert!(contents(&out) == expected, "{} by {weights:?}", path.display());
            assert_eq!(written.bytes, std::fs::metadata(&out).unwrap().len());
            assert_eq!(written.data.is_some(), weights == Weights::External);
        }
        // A file of references is kept as one.
        let again = sub.join("again.onnx");
        emit(&load(&sub.join("reference.onnx")).unwrap(), &again, Weights::Keep).unwrap();
        assert!(read(&again) == read(&sub.join("reference.onnx")));
        // Neither itself nor a folder it is not under can be referenced.
        let elsewhere = tempfile::tempdir().unwrap().path().join("m.onnx");
        for out in [original, elsewhere] {
            assert!(emit(&model, &out, Weights::Reference).is_err());
        }
    }
}

#[test]
fn nothing_half_written_stays() {
    let top = tempfile::tempdir().unwrap();
    let good = load_bytes(small().write_to_bytes().unwrap().into(), None).unwrap();
    let mut cyclic = small();
    cyclic.graph.as_mut().unwrap().node[0].input[0] = "y".into();
    let cyclic = load_bytes(cyclic.write_to_bytes().unwrap().into(), None).unwrap();

    let error = emit(&cyclic, &top.path().join("m.onnx"), Weights::Keep).unwrap_err();
    assert!(error.to_string().contains("cycle"), "{error}");
    let error = emit(&good, &top.path().join("absent/m.onnx"), Weights::Keep).unwrap_err();
    assert!(error.kind == Kind::Io && error.to_string().contains("absent"), "{error}");
    assert_eq!(emit(&good, top.path(), Weights::Keep).unwrap_err().kind, Kind::Io);
    assert_eq!(std::fs::read_dir(top.path()).unwrap().count(), 0);

    let file = top.path().join("m.onnx");
    std::fs::write(&file, "old").unwrap();
    assert!(emit(&cyclic, &file, Weights::Keep).is_err());
    assert_eq!(std::fs::read(&file).unwrap(), b"old");
    emit(&good, &file, Weights::Keep).unwrap();
    assert_eq!(std::fs::read_dir(top.path()).unwrap().count(), 1);
}

/// Found by fuzzing: a reader takes no file with such a node, so no text may be one.
#[test]
fn a_node_gives_each_of_its_outputs_once() {
    let text = "<ir_version: 8, opset_import: [\"\" : 18]> g (float[2] x) => (float[1] y)
        { a, y, a = Split <num_outputs = 3> (x) }";
    let error = text::parse(text).unwrap_err();
    assert!(error.to_string().contains("produced twice"), "{error}");
}

/// A reader takes no file without one. Found by fuzzing.
#[test]
fn a_model_without_an_operator_set_is_not_written() {
    let model = text::parse("g (float[1] x) => (float[1] y) { y = Relu (x) }").unwrap();
    let error = to_bytes(&model).unwrap_err();
    assert!(error.to_string().contains("names no operator set"), "{error}");
}

#[test]
fn a_writer_that_fails_is_an_error() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut model = small();
    let w = &mut model.graph.as_mut().unwrap().initializer[0];
    (w.dims, w.raw_data) = (vec![100_000], vec![1; 400_000]);
    let bytes = model.write_to_bytes().unwrap();
    let model = load_bytes(bytes.clone().into(), None).unwrap();
    for room in [0, 10, 200_000] {
        assert_eq!(write_to(&model, &mut Full(room)).unwrap_err().kind, Kind::Io);
    }
    let mut out = Vec::new();
    assert_eq!(write_to(&model, &mut out).unwrap(), out.len() as u64);
    assert!(
        ModelProto::parse_from_bytes(&out).unwrap()
            == ModelProto::parse_from_bytes(&bytes).unwrap()
    );
}

#[test]
fn what_is_no_model_says_what_it_is() {
    let mut undefined = small();
    undefined.graph.as_mut().unwrap().node[0].input[0] = "z".into();
    let mut twice = small();
    twice.graph.as_mut().unwrap().node[0].output[0] = "x".into();
    let mut output = small();
    output.graph.as_mut().unwrap().output[0].name = "z".into();
    let mut short = small();
    short.graph.as_mut().unwrap().initializer[0].dims = vec![5];
    let mut no_opset = small();
    no_opset.opset_import.clear();
    let mut no_graph = small();
    no_graph.graph.clear();
    let cases: [(Vec<u8>, &str); 10] = [
        (vec![], "empty"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "LFS"),
        (b"<html>not found</html>".to_vec(), "text"),
        (b"PK\x03\x04\x00\x00".to_vec(), "zip"),
        (undefined.write_to_bytes().unwrap(), "value 'z'"),
        (twice.write_to_bytes().unwrap(), "value 'x'"),
        (output.write_to_bytes().unwrap(), "value 'z'"),
        (short.write_to_bytes().unwrap(), "value 'w'"),
        (no_opset.write_to_bytes().unwrap(), "operator set"),
        (no_graph.write_to_bytes().unwrap(), "no graph"),
    ];
    for (bytes, part) in cases {
        let error = load_bytes(bytes.into(), None).unwrap_err();
        assert!(error.kind == Kind::Unreadable && error.to_string().contains(part), "{error}");
    }
}

#[test]
fn outputs_that_are_declared_twice_keep_their_order() {
    let typed = |name: &str, code: i32| {
        let mut value = ValueInfoProto { name: name.into(), ..Default::default() };
        if code > 0 {
            value.type_.mut_or_insert_default().mut_tensor_type().elem_type = code;
        }
        value
    };
    let codes = [[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]];
    for name in ["x", "y", "w"] {
        for codes in codes {
            let mut model = small();
            let graph = model.graph.as_mut().unwrap();
            graph.output = codes.iter().map(|&code| typed(name, code)).collect();
            let bytes = model.write_to_bytes().unwrap();
            let out = to_bytes(&load_bytes(bytes.into(), None).unwrap()).unwrap();
            let out = ModelProto::parse_from_bytes(&out).unwrap();
            assert!(out.graph.output == model.graph.output, "{name} {codes:?}");
        }
    }
}
