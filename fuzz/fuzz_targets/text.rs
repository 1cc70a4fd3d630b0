//! Text to a model, to text, and to the same model; to bytes and back on the way.
#![no_main]

use slpc::onnx::{load_bytes, text, to_bytes};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(given) = std::str::from_utf8(bytes) else { return };
    let Some(model) = slpc::honest(text::parse(given)) else { return };
    let _ = text::print(&model);
    if model.graph.topological().is_err() {
        return;
    }
    let printed = text::print_full(&model);
    let again = text::parse(&printed).unwrap_or_else(|error| panic!("{error}:\n{printed}"));
    assert_eq!(text::print_full(&again), printed);
    // Functions have no room for the types that their parameters may be given in text.
    if let Some(bytes) = slpc::honest(to_bytes(&model)).filter(|_| model.functions.is_empty()) {
        let read = load_bytes(bytes.into(), None).expect("what was written is read");
        // A file holds the constants before the other values.
        assert_eq!(lines(&text::print_full(&read)), lines(&printed));
    }
});

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().map(|line| line.trim_end_matches(',')).collect();
    lines.sort_unstable();
    lines
}
