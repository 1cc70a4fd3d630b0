//! Values by name.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::ValueId;

/// Finds values by their names, which it does not hold itself.
#[derive(Clone, Debug, Default)]
pub struct Names {
    table: HashTable<ValueId>,
    state: RandomState,
}

impl Names {
    /// The value called `name`, where `name_of` tells the name of each.
    pub fn find<'g>(&self, name: &str, name_of: impl Fn(ValueId) -> &'g str) -> Option<ValueId> {
        self.table.find(self.state.hash_one(name), |&id| name_of(id) == name).copied()
    }

    /// Adds a value whose name no other has.
    pub fn add<'g>(&mut self, id: ValueId, name_of: impl Fn(ValueId) -> &'g str) {
        let hash = |&id: &ValueId| self.state.hash_one(name_of(id));
        self.table.insert_unique(hash(&id), id, hash);
    }

    /// Removes a value, whose name is still known.
    pub fn remove<'g>(&mut self, id: ValueId, name_of: impl Fn(ValueId) -> &'g str) {
        let hash = self.state.hash_one(name_of(id));
        if let Ok(entry) = self.table.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
    }
}
