//! Bytes to a model, to bytes, and to the same model.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let model = slpc::onnx::load_bytes(bytes.to_vec().into(), None);
    if let Some(model) = slpc::honest(model) {
        slpc::written_and_read(&model);
    }
});
