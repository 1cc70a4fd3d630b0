//! Blocks of rows that belong together: the seeds of several layers, or the terms of the bias.

use crate::compile::build::Expr;
use crate::compile::linear::add_all;
use crate::graph::Dim;

/// Rows along axis 0 of a value, in groups; a group that is absent is zero.
#[derive(Clone)]
pub struct Rows<'e> {
    /// The groups in ascending order, and how many rows each has.
    pub groups: Vec<(usize, Dim)>,
    /// The value `[rows, ..]`.
    pub value: Expr<'e>,
}

impl<'e> Rows<'e> {
    /// One group.
    pub fn of(group: usize, count: Dim, value: Expr<'e>) -> Self {
        Self { groups: vec![(group, count)], value }
    }

    /// The number of rows.
    pub fn count(&self) -> Dim {
        let counts = self.groups.iter().map(|(_, n)| n.clone());
        counts.fold(Dim::Value(0), |a, b| (a + b).simplify())
    }

    /// The same groups of another value.
    pub fn with(&self, value: Expr<'e>) -> Self {
        Self { groups: self.groups.clone(), value }
    }

    /// The rows of one group.
    pub fn group(&self, group: usize) -> Option<Expr<'e>> {
        let mut start = Dim::Value(0);
        for (name, count) in &self.groups {
            let end = (start.clone() + count.clone()).simplify();
            if *name == group {
                let mut dims = self.value.dims();
                dims[0] = count.clone();
                return Some(self.value.slice(0, &start, &end).assume(&dims));
            }
            start = end;
        }
        None
    }

    /// The sum, group by group.
    pub fn sum(parts: Vec<Self>) -> Option<Self> {
        let first = parts.first()?;
        if parts.iter().all(|p| p.groups == first.groups) {
            let values: Vec<_> = parts.iter().map(|p| p.value).collect();
            return Some(first.with(add_all(&values)));
        }
        let mut groups: Vec<_> = parts.iter().flat_map(|p| p.groups.iter().cloned()).collect();
        groups.sort_by_key(|(group, _)| *group);
        groups.dedup_by_key(|(group, _)| *group);
        let sums: Vec<_> = groups
            .iter()
            .map(|(group, _)| {
                let those: Vec<_> = parts.iter().filter_map(|p| p.group(*group)).collect();
                add_all(&those)
            })
            .collect();
        Some(Self { groups, value: Expr::concat(&sums, 0) })
    }
}
