//! What the neurons of a layer see of each variable, and where it is worth computing no more.

use super::super::linear::{Program, Samples, Span, Step, Var, VarId};
use crate::graph::fixed;

/// The largest share of a variable that is still computed as a window.
const SHARE: f64 = 0.5;

/// The windows of a layer's neurons in each variable.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    vars: Vec<Option<Seen>>,
}

#[derive(Clone, Debug)]
struct Seen {
    windows: Vec<Span>,
    /// Whether only the neuron's own channel is seen.
    channel: bool,
}

impl Sight {
    /// The windows of a variable, a span a spatial axis; none where all of it is computed.
    pub fn windows(&self, var: VarId) -> Option<&[Span]> {
        self.vars.get(var.0)?.as_ref().map(|seen| seen.windows.as_slice())
    }

    /// Whether only the neuron's own channel of a variable is seen.
    pub fn one_channel(&self, var: VarId) -> bool {
        self.vars.get(var.0).and_then(Option::as_ref).is_some_and(|seen| seen.channel)
    }

    /// The windows that the inputs of a step get from those of its output, an entry an input.
    pub fn reached(&self, program: &Program, step: &Step) -> Option<Vec<Vec<Span>>> {
        let [output] = step.outputs[..] else { return None };
        let windows = self.windows(output)?;
        let inputs: Vec<_> = step.inputs.iter().map(|&v| program.var(v)).collect();
        // An operator may tell more of its output's sizes than is known of an input's.
        let known = |v: &&Var| v.dims.iter().skip(2).all(|d| fixed(d).is_some());
        if !inputs.iter().all(known) {
            return None;
        }
        step.map.local()?.reach(&inputs, program.var(output), windows)
    }
}

/// What the neurons of the layer `layer` see; `samples` says where the samples of each variable lie.
///
/// A variable is seen through windows where everything that uses it reaches a window of it, the
/// windows move alike, and they are smaller than half of it or hold one channel only.
pub fn sight(program: &Program, layer: VarId, samples: Option<&[Option<Samples>]>) -> Sight {
    let none = Sight { vars: vec![None; program.var_count()] };
    let mut sight = none.clone();
    let mut found: Vec<Found> = vec![Found::Nothing; program.var_count()];
    let rank = program.var(layer).dims.len();
    if rank < 2 {
        return none;
    }
    found[layer.0] = Found::Seen(Seen { windows: vec![Span::POINT; rank - 2], channel: true });
    let settle = |sight: &mut Sight, found: &[Found], var: VarId| {
        if let Found::Seen(seen) = &found[var.0] {
            let fits = holds_samples(program, var, samples) && is_small(program, var, seen);
            sight.vars[var.0] = fits.then(|| seen.clone());
        }
    };
    for step in program.steps().iter().rev() {
        for &output in &step.outputs {
            settle(&mut sight, &found, output);
        }
        let reached = sight.reached(program, step);
        let used = step.outputs.iter().any(|v| !matches!(found[v.0], Found::Nothing));
        let keeps = step.map.local().is_some_and(|local| local.keeps_channels());
        let channel = keeps && step.outputs.iter().all(|&v| sight.one_channel(v));
        for (i, input) in step.inputs.iter().enumerate().filter(|_| used) {
            let part = reached.as_ref().and_then(|all| all.get(i)).cloned();
            let part = part.map_or(Found::All, |windows| Found::Seen(Seen { windows, channel }));
            let before = std::mem::replace(&mut found[input.0], Found::Nothing);
            found[input.0] = before.join(part);
        }
    }
    for var in (0..program.var_count()).map(VarId) {
        settle(&mut sight, &found, var);
    }
    sight
}

/// What is known so far of how a variable is seen.
#[derive(Clone, Debug)]
enum Found {
    Nothing,
    Seen(Seen),
    All,
}

impl Found {
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, found) | (found, Self::Nothing) => found,
            (Self::Seen(a), Self::Seen(b)) => {
                let pairs = a.windows.iter().zip(&b.windows);
                let windows: Option<Vec<Span>> = pairs.map(|(a, b)| a.union(*b)).collect();
                let channel = a.channel && b.channel;
                windows.map_or(Self::All, |windows| Self::Seen(Seen { windows, channel }))
            }
            _ => Self::All,
        }
    }
}

/// Whether axis 0 of the variable holds the samples, one each, and its space is known.
fn holds_samples(program: &Program, var: VarId, samples: Option<&[Option<Samples>]>) -> bool {
    let dims = &program.var(var).dims;
    let leads = match samples {
        None => dims.first().and_then(fixed) == Some(1),
        Some(places) => places[var.0] == Some(Samples::along(0)),
    };
    leads && dims.len() >= 2 && dims[2..].iter().all(|d| fixed(d).is_some_and(|n| n > 0))
}

fn is_small(program: &Program, var: VarId, seen: &Seen) -> bool {
    let dims = &program.var(var).dims;
    if dims.len() != seen.windows.len() + 2 {
        return false;
    }
    let share = |(dim, window): (&crate::graph::Dim, &Span)| {
        window.length as f64 / fixed(dim).unwrap_or(1) as f64
    };
    let seen_share: f64 = dims[2..].iter().zip(&seen.windows).map(share).product();
    let channel = seen.channel && fixed(&dims[1]) != Some(1);
    seen_share <= if channel { 1.0 } else { SHARE }
}
