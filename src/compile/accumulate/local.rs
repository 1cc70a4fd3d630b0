//! Cotangents within windows, swept back beside those of whole variables.

use super::rows::Rows;
use super::{Task, reverse};
use crate::compile::build::Expr;
use crate::compile::linear::{Patch, Place, Span, Step, VarId, Windows, add_all};
use crate::compile::linearise::Term;
use crate::graph::{Dim, fixed};

/// The cotangents of one layer that are confined to windows.
pub(super) struct Local<'e> {
    layer: usize,
    place: Place<'e>,
    parts: Vec<Vec<Patch<'e>>>,
    sums: Vec<Option<Patch<'e>>>,
}

impl<'e> Local<'e> {
    /// The seeds of a layer, where its neurons are seen through windows.
    pub fn seeded(task: &Task<'e, '_>, layer: usize) -> Option<Self> {
        let var = task.targets[layer].var;
        task.targets[layer].sight.windows(var)?;
        let program = &task.network.program;
        let (place, channel) = task.targets[layer].chosen.place(task.e, program.var(var));
        let dims = vec![Dim::Value(1); program.var(var).dims.len() + 1];
        let value = Expr::ones(task.e, program.var(var).dtype, &dims);
        let mut parts = vec![Vec::new(); program.var_count()];
        parts[var.0].push(Patch { value, channel: Some(channel) });
        Some(Self { layer, place, parts, sums: vec![None; program.var_count()] })
    }

    /// The number of the layer.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// The cotangent of a variable, where it is confined to windows.
    pub fn of(&self, var: VarId) -> Option<Patch<'e>> {
        self.sums[var.0]
    }

    /// Settles a variable whose uses have all been swept.
    pub fn settle(&mut self, task: &Task<'e, '_>, var: VarId) {
        let parts = std::mem::take(&mut self.parts[var.0]);
        let Some(&first) = parts.first() else { return };
        let same = |p: &Patch| p.channel.map(|c| c.id) == first.channel.map(|c| c.id);
        let alike = parts.iter().all(same);
        let whole = |patch: &Patch<'e>| match alike {
            true => patch.value,
            false => self.place.all_channels(*patch, task.network.program.var(var)).value,
        };
        let values: Vec<_> = parts.iter().map(whole).collect();
        let channel = first.channel.filter(|_| alike);
        self.sums[var.0] = Some(Patch { value: add_all(&values), channel });
    }

    /// Carries the cotangent of a step's output to its inputs; gives what belongs to whole variables.
    pub fn back(&mut self, task: &Task<'e, '_>, step: &Step) -> Vec<(VarId, Rows<'e>)> {
        let sight = &task.targets[self.layer].sight;
        let [output] = step.outputs[..] else {
            return step.outputs.iter().filter_map(|&output| self.left(task, output)).collect();
        };
        let (Some(dy), Some(windows)) = (self.sums[output.0], sight.windows(output)) else {
            return Vec::new();
        };
        let program = &task.network.program;
        let Some((reached, local)) = sight.reached(program, step).zip(step.map.local()) else {
            return self.left(task, output).into_iter().collect();
        };
        let at = program.lower(task.e, step, self.place.count.clone());
        let all = Windows { output: windows, inputs: &reached };
        let mut dense = Vec::new();
        for ((&input, from), dx) in
            step.inputs.iter().zip(&reached).zip(local.pull(&at, &self.place, &all, dy))
        {
            match sight.windows(input) {
                Some(to) => self.parts[input.0].push(self.place.widened(dx, from, to)),
                None => dense.push((input, self.whole(task, input, dx, from))),
            }
        }
        dense
    }

    /// The cotangent of a variable that is left to those of whole variables, where there is one.
    fn left(&mut self, task: &Task<'e, '_>, var: VarId) -> Option<(VarId, Rows<'e>)> {
        let windows = task.targets[self.layer].sight.windows(var)?;
        let patch = self.sums[var.0].take()?;
        Some((var, self.whole(task, var, patch, windows)))
    }

    /// The cotangent of a whole variable as rows of this layer.
    pub fn whole(
        &self,
        task: &Task<'e, '_>,
        var: VarId,
        patch: Patch<'e>,
        windows: &[Span],
    ) -> Rows<'e> {
        let value = self.place.embed(patch, windows, task.network.program.var(var));
        Rows::of(self.layer, self.place.count.clone(), value)
    }

    /// The share of one operator's constant part in the bias of the layer's neurons, `[K, N]`.
    pub fn term(&self, task: &Task<'e, '_>, term: &Term<'e>) -> Option<Rows<'e>> {
        let patch = self.of(term.output)?;
        let var = task.network.program.var(term.output);
        let windows = task.targets[self.layer].sight.windows(term.output)?;
        let place = &self.place;
        let constant = place.patch(term.value, var, windows, patch.channel);
        let mut own = constant.dims();
        let space: Vec<usize> = (2..own.len() - 1).collect();
        let flat = own[3..].iter().all(|d| fixed(d) == Some(1));
        let channels = own[2] == patch.value.dims()[2];
        let vector = flat && channels && fixed(&own[0]) == Some(1) && fixed(&own[1]) == Some(1);
        let sums = if vector {
            let sums = reverse::reduced(patch.value, &space);
            own.truncate(3);
            sums.binary("MatMul", constant.reshape(&own[2..]))
        } else {
            let all: Vec<usize> = (1..own.len() - 1).collect();
            reverse::reduced(patch.value * constant, &all)
        };
        let dims = [place.count.clone(), place.samples.clone()];
        Some(Rows::of(self.layer, place.count.clone(), sums.expand(&dims)))
    }
}
