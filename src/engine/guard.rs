//! Keeps a panic inside an engine from reaching the user as one.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic becomes its message, and nothing is printed for it.
///
/// Other threads print their panics as before: the hook installed once asks a flag of the thread.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(outer);
    result.map_err(|payload| message(&*payload))
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(guarded(|| 3), Ok(3));
        assert_eq!(guarded(|| -> u8 { panic!("plain") }), Err("plain".into()));
        assert_eq!(guarded(|| -> u8 { panic!("with {}", 1) }), Err("with 1".into()));
        assert_eq!(guarded(|| -> u8 { panic::panic_any(5) }), Err("no message".into()));
    }

    #[test]
    fn the_flag_is_lowered_afterwards() {
        let inner = guarded(|| guarded(|| -> u8 { panic!("inner") }));
        assert_eq!(inner, Ok(Err("inner".into())));
        assert!(!QUIET.get());
    }
}
