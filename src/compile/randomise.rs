//! Cascading randomisation: the parameters of a model, node by node, put in random order.
//!
//! Shuffling keeps the distribution of a tensor, so that activities keep their scale, variances stay
//! positive and quantised weights stay in range.

use crate::error::{Error, Result};
use crate::graph::{Data, Graph, Model, NodeId, Tensor, ValueId};
use crate::noise::Noise;

/// A node that holds parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// How the node is called.
    pub name: String,
    node: NodeId,
    parameters: Vec<ValueId>,
}

/// The nodes of the main graph that take float or quantised parameters of at least two elements,
/// from the input to the output; a parameter counts for the first node that takes it.
///
/// # Errors
/// When the graph has a cycle.
pub fn holders(graph: &Graph) -> Result<Vec<Holder>> {
    let mut taken = Vec::new();
    let mut found = Vec::new();
    for id in graph.topological()? {
        let node = graph.node(id);
        let mut parameters = Vec::new();
        for &value in node.inputs.iter().flatten() {
            if is_parameter(graph, value) && !taken.contains(&value) {
                taken.push(value);
                parameters.push(value);
            }
        }
        if !parameters.is_empty() {
            found.push(Holder { name: graph.label(id).to_owned(), node: id, parameters });
        }
    }
    Ok(found)
}

fn is_parameter(graph: &Graph, value: ValueId) -> bool {
    let value = graph.value(value);
    let Some(tensor) = &value.tensor else { return false };
    let kind = tensor.dtype;
    let quantised = kind.bits() == 8 && kind != crate::graph::DataType::Bool;
    (kind.is_float() || quantised) && tensor.len() >= 2
}

/// The model with the parameters of some of its [`holders`] shuffled. The order drawn for a holder
/// depends on `seed` and on its place alone, so that a cascade changes one more holder at a time.
///
/// # Errors
/// When a tensor's data is short.
pub fn randomise(model: &Model, holders: &[Holder], places: &[usize], seed: u64) -> Result<Model> {
    let mut changed = model.clone();
    for &place in places {
        let Some(holder) = holders.get(place) else {
            return Err(Error::internal(format!("there is no node {place} with parameters")));
        };
        let mut noise = Noise::new(seed.wrapping_add((place as u64 + 1).wrapping_mul(0x9e37_79b9)));
        for &value in &holder.parameters {
            if let Some(tensor) = &mut changed.graph.value_mut(value).tensor {
                **tensor = shuffled(tensor, &mut noise)
                    .map_err(|error| model.graph.at(holder.node, error))?;
            }
        }
    }
    Ok(changed)
}

/// The elements of a tensor in random order (Fisher and Yates).
fn shuffled(tensor: &Tensor, noise: &mut Noise) -> Result<Tensor> {
    let size = tensor.dtype.bits() / 8;
    let mut bytes = tensor.whole_bytes()?.to_vec();
    for last in (1..tensor.len()).rev() {
        let other = noise.below(last + 1);
        for byte in 0..size {
            bytes.swap(last * size + byte, other * size + byte);
        }
    }
    Ok(Tensor { data: Data::Bytes(bytes.into()), ..tensor.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::text::parse;

    fn model() -> Model {
        parse(
            "<ir_version: 8, opset_import: [\"\" : 18]> g (float[N,4] x) => (float[N,4] y)
             <float[4,4] a = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16}, float[1] s = {2},
              float[4] b = {1,2,3,4}, int64[2] shape = {0,4}>
             { [first] h = MatMul (x, a) k = Add (h, b) m = Mul (k, s) r = Reshape (m, shape)
               [last] y = MatMul (r, a) }",
        )
        .unwrap()
    }

    fn values(model: &Model, name: &str) -> Vec<f64> {
        let id = model.graph.find(name).unwrap();
        model.graph.value(id).tensor.as_ref().unwrap().to_floats().unwrap()
    }

    #[test]
    fn every_parameter_has_one_holder_in_order() {
        let names: Vec<String> =
            holders(&model().graph).unwrap().into_iter().map(|holder| holder.name).collect();
        assert_eq!(names, ["first", "k"]);
    }

    #[test]
    fn only_the_named_holders_change_and_keep_their_values() {
        let model = model();
        let holders = holders(&model.graph).unwrap();
        let changed = randomise(&model, &holders, &[0], 7).unwrap();
        let mut sorted = values(&changed, "a");
        assert_ne!(sorted, values(&model, "a"));
        sorted.sort_by(f64::total_cmp);
        assert_eq!(sorted, values(&model, "a"));
        assert_eq!(values(&changed, "b"), values(&model, "b"));
    }

    #[test]
    fn the_order_depends_on_the_seed_and_the_place() {
        let model = model();
        let holders = holders(&model.graph).unwrap();
        let a = |places: &[usize], seed| {
            values(&randomise(&model, &holders, places, seed).unwrap(), "a")
        };
        assert_eq!(a(&[0], 1), a(&[1, 0], 1));
        assert_ne!(a(&[0], 1), a(&[0], 2));
        assert!(randomise(&model, &holders, &[2], 0).is_err());
    }
}
