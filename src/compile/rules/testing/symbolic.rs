//! Cases whose sizes are symbols.

use super::{Case, Changing, Slot, jacobian, layer};
use crate::compile::{Options, transform};
use crate::error::Kind;
use crate::graph::{Dim, fixed};

impl Case {
    /// Symbols for every size but 1 of the inputs that change, the same for equal ones.
    pub(super) fn symbolic(mut self) -> Self {
        for slot in &mut self.slots {
            let Slot::Input(_, dims) = slot else { continue };
            for dim in dims.iter_mut() {
                if let Some(n) = fixed(dim).filter(|&n| n != 1) {
                    *dim = Dim::pos_var(&format!("D{n}"));
                }
            }
        }
        self
    }

    /// Whether an input has symbols for sizes.
    pub(super) fn is_dynamic(&self) -> bool {
        let symbolic = |slot: &Slot| matches!(slot, Slot::Input(_, dims) if dims.iter().any(|d| fixed(d).is_none()));
        self.slots.iter().any(symbolic)
    }

    /// Whether it is refused, as something that can't be expressed, where some input changes alone.
    pub(super) fn is_refused(&self) -> bool {
        let options = Options { layers: vec![layer("y0")], ..jacobian::options() };
        let refused = self.inputs().iter().any(|&index| {
            let error = transform(self.model(Changing::One(index)), &options).err();
            error.is_some_and(|e| e.kind == Kind::Unsupported)
        });
        if refused {
            self.note("refused");
        }
        refused
    }
}
