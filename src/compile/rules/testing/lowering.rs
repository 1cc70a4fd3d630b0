//! Snapshots of a rule's linear steps as ONNX text, forward and transposed.

use std::cell::RefCell;
use std::collections::HashSet;

use super::{Case, Changing};
use crate::compile::build::{Emit, Expr};
use crate::compile::linear::{Program, Var, VarId, add_all};
use crate::compile::rules::linearise_node;
use crate::compile::{prepare, simplify};
use crate::graph::{Dim, Model, Value};
use crate::onnx::text;

/// Where the snapshots are.
pub(super) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/rules");

/// The linear steps of one node.
struct Linearised {
    program: Program,
    inputs: Vec<VarId>,
    outputs: Vec<VarId>,
}

impl Case {
    /// Checks the case, and compares the ONNX text of its linear steps, forward and transposed,
    /// with the file `snapshots/rules/OP-name.snap`.
    #[track_caller]
    pub fn snapshot(&self, name: &str) {
        self.check();
        self.show(name);
    }

    /// The snapshot alone, of a case whose numbers are checked elsewhere.
    #[track_caller]
    pub fn show(&self, name: &str) {
        self.keep(name);
        let mut settings = insta::Settings::new();
        settings.set_snapshot_path(FOLDER);
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(format!("{}-{name}", self.op), self.steps()));
    }

    /// The linear steps as text, forward and transposed.
    fn steps(&self) -> String {
        let model = prepare(self.model(Changing::Each)).expect("the case is a model");
        [self.lowered(&model, forward), self.lowered(&model, transposed)].join("\n")
    }

    /// The graph of `write` alone, without what its outputs don't need.
    fn lowered(
        &self,
        model: &Model,
        write: for<'e> fn(&'e Emit, &Linearised) -> Vec<Expr<'e>>,
    ) -> String {
        let mut graph = model.graph.clone();
        graph.outputs.clear();
        let e = Emit::new(graph, model.opset());
        let linearised = self.linearise(&e);
        let outputs: Vec<_> = write(&e, &linearised).iter().map(|y| y.id).collect();
        let mut graph = e.finish().unwrap_or_else(|error| panic!("{self}: {error}"));
        graph.outputs = outputs;
        simplify::remove_dead(&mut graph, &HashSet::new());
        let used = |id: &_| {
            !graph.consumers(*id).is_empty()
                || graph.producer(*id).is_some()
                || graph.outputs.contains(id)
        };
        let values: Vec<_> = graph.values().map(|(id, _)| id).filter(|id| !used(id)).collect();
        graph.inputs.retain(|id| !values.contains(id));
        values.into_iter().for_each(|id| graph.remove_value(id));
        // A node is told by its output.
        let nodes: Vec<_> = graph.nodes().map(|(id, _)| id).collect();
        nodes.into_iter().for_each(|id| graph.node_mut(id).name.clear());
        text::print_graph_with_shapes(&graph)
    }

    fn linearise(&self, e: &Emit) -> Linearised {
        let nodes = e.graph(|graph| graph.nodes().map(|(id, _)| id).collect::<Vec<_>>());
        let [node] = nodes[..] else { panic!("{self}: a snapshot shows one node") };
        let program = RefCell::new(Program::default());
        let tangent = |index: usize| {
            let value = e.graph(|graph| graph.find(&self.floats(index).name))?;
            let x = e.expr(value);
            let var = Var { dims: x.dims(), dtype: crate::compile::rules::tangent_type(x.dtype()) };
            Some((value, program.borrow_mut().add_var(var)))
        };
        let tangents: Vec<_> = self.inputs().into_iter().filter_map(tangent).collect();
        let inputs = tangents.iter().map(|(_, var)| *var).collect();
        e.scope_of(node);
        let change = |value| tangents.iter().find(|(x, _)| *x == value).map(|(_, var)| *var);
        let result = linearise_node(e, &program, (node, node), change)
            .unwrap_or_else(|error| panic!("{self}: {error}"))
            .unwrap_or_else(|| panic!("{self}: nothing changes"));
        let outputs = result.outputs.iter().map(|(_, var)| *var).collect();
        Linearised { program: program.into_inner(), inputs, outputs }
    }
}

/// A graph input for each of `vars`, of `K` seeds.
fn seeds<'e>(e: &'e Emit, program: &Program, name: &str, vars: &[VarId]) -> Vec<Expr<'e>> {
    let seed = |(index, var): (usize, &VarId)| {
        let var = program.var(*var);
        let name = if vars.len() == 1 { name.to_owned() } else { format!("{name}{index}") };
        e.input(Value::typed(name, var.dtype, var.seeded(&Dim::pos_var("K"))))
    };
    vars.iter().enumerate().map(seed).collect()
}

fn forward<'e>(e: &'e Emit, node: &Linearised) -> Vec<Expr<'e>> {
    e.scope("");
    let program = &node.program;
    let mut tangents = vec![None; program.var_count()];
    for (var, dx) in node.inputs.iter().zip(seeds(e, program, "dx", &node.inputs)) {
        tangents[var.0] = Some(dx);
    }
    for step in program.steps() {
        let x: Vec<_> = step.inputs.iter().map(|v| tangents[v.0]).collect();
        if x.iter().any(Option::is_some) {
            let at = program.lower(e, step, Dim::pos_var("K"));
            for (output, y) in step.outputs.iter().zip(step.map.forward(&at, &x)) {
                tangents[output.0] = y;
            }
        }
    }
    node.outputs.iter().filter_map(|var| tangents[var.0]).collect()
}

fn transposed<'e>(e: &'e Emit, node: &Linearised) -> Vec<Expr<'e>> {
    e.scope("");
    let program = &node.program;
    let mut parts = vec![Vec::new(); program.var_count()];
    for (var, dy) in node.outputs.iter().zip(seeds(e, program, "dy", &node.outputs)) {
        parts[var.0].push(dy);
    }
    for step in program.steps().iter().rev() {
        let total = |v: &VarId| (!parts[v.0].is_empty()).then(|| add_all(&parts[v.0]));
        let dy: Vec<_> = step.outputs.iter().map(total).collect();
        if dy.iter().any(Option::is_some) {
            let at = program.lower(e, step, Dim::pos_var("K"));
            for (input, dx) in step.inputs.iter().zip(step.map.transposed(&at, &dy)) {
                parts[input.0].extend(dx);
            }
        }
    }
    let reached = node.inputs.iter().filter(|var| !parts[var.0].is_empty());
    reached.map(|var| add_all(&parts[var.0])).collect()
}
