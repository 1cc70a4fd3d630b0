//! A graph of the random generator, whose choices the bytes make, or a model in them: transformed,
//! written and read.
#![no_main]

#[path = "../../tests/generate/mod.rs"]
mod generate;

use generate::{Random, generate};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let &[way, first, second, ref rest @ ..] = bytes else { return };
    let model = if way == b'g' {
        let mut random = Random::of_bytes(rest);
        let size = random.between(2, 12);
        let (batch, dynamic) = (random.between(1, 3), random.one_in(2));
        Some(generate(&mut random, size, batch, dynamic, true).model)
    } else {
        slpc::honest(slpc::onnx::load_bytes(rest.to_vec().into(), None))
    };
    if let Some(model) = model {
        slpc::transformed(model, [first, second]);
    }
});
