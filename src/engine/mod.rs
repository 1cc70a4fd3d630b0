//! Runs files; the only place that sees an execution engine.
