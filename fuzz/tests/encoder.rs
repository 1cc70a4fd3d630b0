//! The unsafe half of `onnx/map.rs` that Miri can run: `cargo +nightly miri test --test encoder`.
//! The other half maps files, which Miri cannot; valgrind runs that.

use std::io::{self, Write};

use slpc::graph::{DataType, Tensor, Value};
use slpc::onnx::{text::parse, to_bytes, write_to};

/// A writer that takes a few bytes at a time, and fails at `room`.
struct Narrow {
    taken: Vec<u8>,
    room: usize,
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.taken.len() >= self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let count = bytes.len().min(50_001);
        self.taken.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn chunks_of_every_size_are_handed_on() {
    // Around the encoder's chunk of 65,536 bytes.
    for length in [0i64, 1, 16_300, 16_380, 16_384, 40_000] {
        let graph = "<ir_version: 8, opset_import: [\"\" : 18]> g (float[N] x) => (float[N] y)
            <float[1] w = {0}> { y = Sum (x, w) }";
        let mut model = parse(graph).unwrap();
        let id = model.graph.find("w").unwrap();
        let tensor = Tensor::new(DataType::F32, vec![length], vec![7; 4 * length as usize]);
        *model.graph.value_mut(id) = Value { tensor: Some(tensor.into()), ..Value::new("w") };
        let whole = to_bytes(&model).unwrap();
        let mut narrow = Narrow { taken: Vec::new(), room: usize::MAX };
        assert_eq!(write_to(&model, &mut narrow).unwrap(), whole.len() as u64);
        assert!(narrow.taken == whole);
        let mut full = Narrow { taken: Vec::new(), room: whole.len() / 2 };
        assert_eq!(write_to(&model, &mut full).is_err(), whole.len() > 50_001);
    }
}
