//! The linear map of a loop.
//!
//! Round `t` takes the changes of states and of elements `t` to those of the next states and of
//! elements of the results, by a linear map that depends on what the loop computed in that round.
//! Transposed, the rounds run backwards, and the cotangents of captured values add up.

use std::collections::HashSet;
use std::rc::Rc;

use super::body::{Body, capture, drop_unused};
use super::{Lower, Map, Samples, Var};
use crate::compile::build::{Emit, Expr};
use crate::graph::{Attr, Graph, ValueId};

/// How a sequence is taken apart or put together, its axis without the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    /// The axis of the rounds.
    pub axis: usize,
    /// Whether round 0 has the last element.
    pub backward: bool,
}

/// The linear map of every round of a loop, one after another.
///
/// The inputs are the changes of the initial states that change, of the sequences, and of the
/// captured values; the outputs are those of the last states, and of the results.
#[derive(Debug)]
pub struct Scan {
    /// A round. Its inputs that change are the states, the elements and the captured values; its
    /// outputs are the states and the elements of the results.
    pub body: Rc<Body>,
    /// What each input of the body's graph is an element of, beside its track.
    pub primal: Vec<(ValueId, Track)>,
    /// Whether the initial value of each state changes.
    pub initial: Vec<bool>,
    /// The tracks of the sequences that change.
    pub sequences: Vec<Track>,
    /// The outer values whose changes are read in every round.
    pub captured: Vec<ValueId>,
    /// The tracks of the results.
    pub results: Vec<Track>,
    /// Whether there may be no round at all. Runtimes refuse a Scan
    /// over nothing.
    pub may_be_empty: bool,
}

/// What becomes an operator Scan.
struct Sweep<'e> {
    states: Vec<Expr<'e>>,
    sequences: Vec<(Expr<'e>, Track)>,
    /// The track and the whole of each result.
    results: Vec<(Track, Var)>,
    graph: Graph,
    may_be_empty: bool,
}

impl Scan {
    fn states(&self) -> usize {
        self.initial.len()
    }

    /// The place of the initial value of state `s` among the inputs.
    fn start(&self, s: usize) -> Option<usize> {
        self.initial[s].then(|| self.initial[..s].iter().filter(|&&there| there).count())
    }

    fn first_sequence(&self) -> usize {
        self.initial.iter().filter(|&&there| there).count()
    }

    fn first_captured(&self) -> usize {
        self.first_sequence() + self.sequences.len()
    }

    /// What a round computed, in the order of the rounds or against it.
    fn primal<'e>(&self, at: &Lower<'e, '_>, backward: bool) -> Vec<(Expr<'e>, Track)> {
        let turned = |track: Track| Track { backward: track.backward != backward, ..track };
        self.primal.iter().map(|&(value, track)| (at.e.expr(value), turned(track))).collect()
    }
}

impl Map for Scan {
    fn name(&self) -> &'static str {
        "Scan"
    }

    fn forward<'e>(&self, at: &Lower<'e, '_>, x: &[Option<Expr<'e>>]) -> Vec<Option<Expr<'e>>> {
        let zeros = |var: &Var| Expr::zeros(at.e, var.dtype, &var.seeded(&at.seeds));
        let states: Vec<_> = (0..self.states())
            .map(|s| self.start(s).and_then(|i| x[i]).unwrap_or_else(|| zeros(at.outputs[s])))
            .collect();
        let mut sequences = self.primal(at, false);
        let tracks = self.sequences.iter().enumerate();
        let given: Vec<_> = tracks
            .filter_map(|(i, &track)| Some((i, x[self.first_sequence() + i]?, track)))
            .collect();
        sequences.extend(given.iter().map(|&(_, x, track)| (x, seeded(track))));
        let graph = self.body.write(at.e, "round", |b| {
            let own = b.graph_mut(|graph| std::mem::take(&mut graph.inputs));
            let mut tangents: Vec<_> =
                states.iter().map(|state| Some(b.element("state", *state, None))).collect();
            b.graph_mut(|graph| graph.inputs.extend(own));
            tangents.resize(self.body.inputs.len(), None);
            for &(i, x, track) in &given {
                tangents[self.states() + i] = Some(b.element("x", x, Some(seeded(track).axis)));
            }
            for (i, _) in self.captured.iter().enumerate() {
                let x = x[self.first_captured() + i];
                tangents[self.states() + self.sequences.len() + i] =
                    x.map(|x| capture(b, at.e, x.id));
            }
            let y = self.body.forward(b, &at.seeds, &tangents);
            for (i, y) in y.into_iter().enumerate() {
                let zero = || {
                    let results = i.checked_sub(self.states()).map(|i| self.results[i]);
                    let whole = at.outputs[i].clone();
                    let var = results.map_or(whole, |track| element(at.outputs[i], track));
                    Expr::zeros(b, var.dtype, &var.seeded(&at.seeds))
                };
                b.result("y", y.unwrap_or_else(zero));
            }
        });
        let wholes = at.outputs[self.states()..].iter();
        let tracks = self.results.iter().copied().map(seeded);
        let results = tracks.zip(wholes.map(|var| whole(at, var))).collect();
        let may_be_empty = self.may_be_empty;
        let sweep = Sweep { states, sequences, results, graph, may_be_empty };
        let y = sweep.emit(at, self.primal.len());
        let dims = at.outputs.iter().map(|var| var.seeded(&at.seeds));
        y.into_iter().zip(dims).map(|(y, dims)| Some(y.assume(&dims))).collect()
    }

    fn transposed<'e>(&self, at: &Lower<'e, '_>, dy: &[Option<Expr<'e>>]) -> Vec<Option<Expr<'e>>> {
        let zeros = |var: &Var| Expr::zeros(at.e, var.dtype, &var.seeded(&at.seeds));
        let mut states: Vec<_> =
            (0..self.states()).map(|s| dy[s].unwrap_or_else(|| zeros(at.outputs[s]))).collect();
        let captured = &at.inputs[self.first_captured()..];
        states.extend(captured.iter().map(|var| zeros(var)));
        let turned = |track: Track| Track { backward: !track.backward, ..seeded(track) };
        let mut sequences = self.primal(at, true);
        let tracks = self.results.iter().enumerate();
        let given: Vec<_> =
            tracks.filter_map(|(i, &track)| Some((i, dy[self.states() + i]?, track))).collect();
        sequences.extend(given.iter().map(|&(_, dy, track)| (dy, turned(track))));
        let graph = self.body.write(at.e, "round", |b| {
            let own = b.graph_mut(|graph| std::mem::take(&mut graph.inputs));
            let mut cotangents: Vec<_> =
                states.iter().map(|state| Some(b.element("state", *state, None))).collect();
            b.graph_mut(|graph| graph.inputs.extend(own));
            let sums = cotangents.split_off(self.states());
            cotangents.resize(self.body.outputs.len(), None);
            for &(i, dy, track) in &given {
                cotangents[self.states() + i] = Some(b.element("dy", dy, Some(seeded(track).axis)));
            }
            let mut dx = self.body.transposed(b, &at.seeds, &cotangents);
            let added = dx.split_off(self.states() + self.sequences.len());
            let elements = dx.split_off(self.states());
            for (dx, state) in dx.into_iter().zip(&cotangents) {
                let zero = || state.map(|state| Expr::zeros(b, state.dtype(), &state.dims()));
                if let Some(dx) = dx.or_else(zero) {
                    b.result("state", dx);
                }
            }
            for (sum, more) in sums.into_iter().zip(added) {
                if let Some(sum) = sum {
                    b.result("sum", more.map_or(sum, |more| sum + more));
                }
            }
            for (i, dx) in elements.into_iter().enumerate() {
                let var = element(at.inputs[self.first_sequence() + i], self.sequences[i]);
                let zero = || Expr::zeros(b, var.dtype, &var.seeded(&at.seeds));
                b.result("dx", dx.unwrap_or_else(zero));
            }
        });
        let wholes = at.inputs[self.first_sequence()..].iter();
        let tracks = self.sequences.iter().copied().map(turned);
        let results = tracks.zip(wholes.map(|var| whole(at, var))).collect();
        let may_be_empty = self.may_be_empty;
        let sweep = Sweep { states, sequences, results, graph, may_be_empty };
        let dx = sweep.emit(at, self.primal.len());
        let (last, rest) = dx.split_at(self.states());
        let (sums, elements) = rest.split_at(captured.len());
        let first = (0..self.states()).filter(|&s| self.initial[s]).map(|s| last[s]);
        let all = first.chain(elements.iter().copied()).chain(sums.iter().copied());
        all.enumerate().map(|(i, dx)| Some(dx.assume(&at.in_dims(i)))).collect()
    }

    fn samples(&self, inputs: &[Option<(&Var, &Samples)>], _: &[&Var]) -> Vec<Option<Samples>> {
        let place = |i: usize| inputs[i].map(|(_, place)| Some(place.clone()));
        let states: Vec<_> = (0..self.states()).map(|s| self.start(s).and_then(place)).collect();
        let mut starts = states;
        for (i, track) in self.sequences.iter().enumerate() {
            let within = |place: Option<Samples>| place.and_then(|place| without(&place, *track));
            starts.push(place(self.first_sequence() + i).map(within));
        }
        starts.extend((0..self.captured.len()).map(|i| place(self.first_captured() + i)));
        // States start where their initial values have the samples, and must keep them there.
        let mut ends = self.body.samples(&starts);
        for _ in 0..=self.states() {
            for s in 0..self.states() {
                starts[s] = match (starts[s].take(), &ends[s]) {
                    (Some(a), Some(b)) => Some(a.filter(|a| Some(a) == b.as_ref())),
                    (one, other) => one.or_else(|| other.clone()),
                };
            }
            ends = self.body.samples(&starts);
        }
        let last = |s: usize| match (&starts[s], &ends[s]) {
            (Some(a), Some(b)) => a.clone().filter(|a| Some(a) == b.as_ref()),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => None,
        };
        let stacked = |(i, track): (usize, &Track)| {
            let place = ends[self.states() + i].clone().flatten()?;
            let axis = place.axis + usize::from(place.axis >= track.axis);
            Some(Samples { axis, ..place })
        };
        let results = self.results.iter().enumerate().map(stacked);
        (0..self.states()).map(last).chain(results).collect()
    }
}

/// A tangent of the variable.
fn whole(at: &Lower<'_, '_>, var: &Var) -> Var {
    Var { dims: var.seeded(&at.seeds), dtype: var.dtype }
}

/// The track of tangents, whose axis 0 is the seeds.
fn seeded(track: Track) -> Track {
    Track { axis: track.axis + 1, ..track }
}

/// One element of a sequence.
fn element(var: &Var, track: Track) -> Var {
    let mut dims = var.dims.clone();
    dims.remove(track.axis);
    Var { dims, dtype: var.dtype }
}

/// Where the samples lie in one element of a sequence.
fn without(place: &Samples, track: Track) -> Option<Samples> {
    let axis = place.axis - usize::from(place.axis > track.axis);
    (place.axis != track.axis).then(|| Samples { axis, ..place.clone() })
}

impl<'e> Sweep<'e> {
    /// Emits the operator; `primal` sequences come first and go where the graph does not read them.
    fn emit(mut self, at: &Lower<'e, '_>, primal: usize) -> Vec<Expr<'e>> {
        let first = self.states.len();
        let gone: HashSet<usize> = if self.graph.inputs.len() < first + primal {
            HashSet::new()
        } else {
            drop_unused(&mut self.graph, first..first + primal)
        };
        let kept = std::mem::take(&mut self.sequences).into_iter().enumerate();
        self.sequences = kept
            .filter(|(i, _)| !gone.contains(&(first + i)))
            .map(|(_, sequence)| sequence)
            .collect();
        if self.may_be_empty { self.guarded(at) } else { self.node(at.e, |x| x) }
    }

    /// The operator itself, in `e`, which knows the inputs by `within`.
    fn node<'b>(&self, e: &'b Emit, within: impl Fn(Expr<'e>) -> Expr<'b>) -> Vec<Expr<'b>> {
        let axes = |tracks: &[Track]| -> Attr {
            tracks.iter().map(|t| t.axis as i64).collect::<Vec<_>>().into()
        };
        let directions = |tracks: &[Track]| -> Attr {
            tracks.iter().map(|t| i64::from(t.backward)).collect::<Vec<_>>().into()
        };
        let tracks: Vec<Track> = self.sequences.iter().map(|(_, track)| *track).collect();
        let results: Vec<Track> = self.results.iter().map(|(track, _)| *track).collect();
        let mut attributes = vec![
            ("body", Attr::Graph(Box::new(self.graph.clone()))),
            ("num_scan_inputs", Attr::Int(tracks.len() as i64)),
            ("scan_input_axes", axes(&tracks)),
            ("scan_input_directions", directions(&tracks)),
        ];
        if !results.is_empty() {
            attributes.push(("scan_output_axes", axes(&results)));
            attributes.push(("scan_output_directions", directions(&results)));
        }
        let inputs = self.states.iter().chain(self.sequences.iter().map(|(x, _)| x));
        let inputs = inputs.map(|&x| Some(within(x).id)).collect();
        e.control("Scan", inputs, attributes, self.states.len() + results.len())
    }

    /// The operator where there is a round, else the states as they are and empty results.
    fn guarded(&self, at: &Lower<'e, '_>) -> Vec<Expr<'e>> {
        let branch = |some: bool| {
            let b = at.e.nested(Graph::new("rounds"), if some { "some" } else { "none" });
            let within = |x: Expr<'e>| capture(&b, at.e, x.id);
            if some {
                self.node(&b, within).into_iter().for_each(|y| b.result("y", y));
            } else {
                // The sequences tell the sizes of the results.
                for (x, _) in &self.sequences {
                    within(*x);
                }
                self.states.iter().for_each(|state| b.result("y", within(*state)));
                let zeros = |var: &Var| Expr::zeros(&b, var.dtype, &var.dims);
                self.results.iter().for_each(|(_, var)| b.result("y", zeros(var)));
            }
            let graph = b.finish().map(|mut graph| {
                graph.prune();
                Attr::Graph(Box::new(graph))
            });
            graph.unwrap_or_else(|error| {
                at.e.fail(error);
                Attr::Int(0)
            })
        };
        let Some((x, track)) = self.sequences.first() else { return Vec::new() };
        let length = at.e.extent(&x.dims()[track.axis]);
        let condition = length.binary("Greater", at.e.ints(&[0]));
        let attributes = vec![("then_branch", branch(true)), ("else_branch", branch(false))];
        at.e.control(
            "If",
            vec![Some(condition.id)],
            attributes,
            self.states.len() + self.results.len(),
        )
    }
}
