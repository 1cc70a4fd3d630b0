//! Max poolings, and the one that a layer enters.

use super::Path;
use super::layers::ACTIVATIONS;
use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, ValueId, fixed};

/// A max pooling, with its windows as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pooled {
    /// The value that enters it.
    pub input: ValueId,
    /// The value that leaves it.
    pub output: ValueId,
    /// The kernel's extents.
    pub kernel: Vec<i64>,
    /// The steps from one window to the next.
    pub strides: Vec<i64>,
    /// The steps within a window.
    pub dilations: Vec<i64>,
    /// How many places the first window begins before the first element.
    pub begin: Vec<i64>,
    /// The extents of what enters, its first axis aside.
    pub entering: Vec<i64>,
    /// The extents of what leaves, its first axis aside.
    pub leaving: Vec<i64>,
}

/// The max poolings on a path, in graph order.
///
/// # Errors
/// As [`pooled`].
pub fn poolings(graph: &Graph, path: &Path) -> Result<Vec<Pooled>> {
    let here = path.nodes.iter().filter(|&&id| is_pooling(graph.node(id)));
    here.map(|&id| {
        let input = graph.node(id).input(0);
        let input = input.ok_or_else(|| Error::unreadable("the pooling has no input"));
        input.and_then(|input| read(graph, id, input)).map_err(|e| graph.at(id, e))
    })
    .collect()
}

fn is_pooling(node: &Node) -> bool {
    node.is_standard() && matches!(node.op.as_str(), "MaxPool" | "GlobalMaxPool")
}

/// The max pooling behind a layer, with at most activations between; none where there is none.
///
/// # Errors
/// When a pooling's attributes are malformed, or extents are only known at run time.
pub fn pooled(graph: &Graph, layer: ValueId) -> Result<Option<Pooled>> {
    let mut ahead = vec![layer];
    while let Some(value) = ahead.pop() {
        for id in graph.consumers(value) {
            let node = graph.node(id);
            if !node.is_standard() || node.input(0) != Some(value) {
                continue;
            }
            if is_pooling(node) {
                return read(graph, id, value).map(Some).map_err(|e| graph.at(id, e));
            }
            if passes(&node.op) {
                ahead.extend(node.output(0));
            }
        }
    }
    Ok(None)
}

fn passes(op: &str) -> bool {
    // Reshapes give the elements other places; what keeps both extents and order may stand between.
    ACTIVATIONS.contains(&op) || matches!(op, "Identity" | "Dropout")
}

fn read(graph: &Graph, id: NodeId, input: ValueId) -> Result<Pooled> {
    let node = graph.node(id);
    let output = node.output(0).ok_or_else(|| Error::unreadable("the pooling has no output"))?;
    let (entering, leaving) = (extents(graph, input)?, extents(graph, output)?);
    let spatial = entering.get(1..).unwrap_or_default().to_vec();
    let rank = spatial.len();
    if node.op == "GlobalMaxPool" {
        let (ones, zeros) = (vec![1; rank], vec![0; rank]);
        let (strides, dilations, begin) = (ones.clone(), ones, zeros);
        let kernel = spatial;
        return Ok(Pooled { input, output, kernel, strides, dilations, begin, entering, leaving });
    }
    let list = |name: &str, default: i64, least: i64| -> Result<Vec<i64>> {
        let values = node.ints(name)?.map_or(vec![default; rank], <[i64]>::to_vec);
        if values.len() < rank || values.iter().any(|&v| v < least) {
            return Err(Error::unreadable(format!("attribute '{name}' is {values:?}")));
        }
        Ok(values)
    };
    let kernel = list("kernel_shape", 0, 1)?;
    let (strides, dilations) = (list("strides", 1, 1)?, list("dilations", 1, 1)?);
    let mut begin = list("pads", 0, 0)?;
    begin.truncate(rank);
    if let Some(upper) = same(node)? {
        for axis in 0..rank {
            let reach = (kernel[axis] - 1) * dilations[axis] + 1;
            let total = ((leaving.get(axis + 1).unwrap_or(&1) - 1) * strides[axis] + reach
                - spatial[axis])
                .max(0);
            begin[axis] = if upper { total / 2 } else { total - total / 2 };
        }
    }
    Ok(Pooled { input, output, kernel, strides, dilations, begin, entering, leaving })
}

/// Whether the padding keeps the extents, and then whether the odd place goes to the end.
fn same(node: &Node) -> Result<Option<bool>> {
    match node.text("auto_pad")?.unwrap_or("NOTSET") {
        "NOTSET" | "VALID" => Ok(None),
        "SAME_UPPER" => Ok(Some(true)),
        "SAME_LOWER" => Ok(Some(false)),
        other => Err(Error::unreadable(format!("attribute 'auto_pad' is '{other}'"))),
    }
}

fn extents(graph: &Graph, value: ValueId) -> Result<Vec<i64>> {
    let it = graph.value(value);
    let dims = it.dims().unwrap_or_default();
    let known: Option<Vec<i64>> = dims.iter().skip(1).map(fixed).collect();
    known.filter(|_| dims.len() > 2).ok_or_else(|| {
        Error::unsupported("the extents of a pooling are only known at run time")
            .value(&it.name)
            .help("fix the size of the model's input")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::prepare;
    use crate::onnx::text::parse;

    fn find(body: &str) -> Result<Option<Pooled>> {
        let text = format!(
            "<ir_version: 8, opset_import: [\"\" : 18]> g (float[N,2,5,6] x) => (float[N,2,a,b] y) {{ {body} }}"
        );
        let model = prepare(parse(&text).unwrap())?;
        pooled(&model.graph, model.graph.find("x").unwrap())
    }

    #[test]
    fn poolings_behind_activations_are_found_with_their_windows() {
        let found = find(
            "r = Relu (x) y = MaxPool <kernel_shape = [2, 3], strides = [2, 1], pads = [1, 0, 0, 1]> (r)",
        );
        let found = found.unwrap().unwrap();
        assert_eq!((found.kernel, found.strides), (vec![2, 3], vec![2, 1]));
        assert_eq!((found.begin, found.dilations), (vec![1, 0], vec![1, 1]));
        assert_eq!((found.entering, found.leaving), (vec![2, 5, 6], vec![2, 3, 5]));
    }

    #[test]
    fn paddings_that_keep_the_extents_become_numbers() {
        for (pad, begin) in [("SAME_UPPER", [0, 0]), ("SAME_LOWER", [1, 1])] {
            let body = format!("y = MaxPool <kernel_shape = [2, 2], auto_pad = \"{pad}\"> (x)");
            assert_eq!(find(&body).unwrap().unwrap().begin, begin, "{pad}");
        }
    }

    #[test]
    fn a_global_pooling_has_one_window() {
        let found = find("y = GlobalMaxPool (x)").unwrap().unwrap();
        assert_eq!((found.kernel, found.leaving), (vec![5, 6], vec![2, 1, 1]));
    }

    #[test]
    fn other_operators_end_the_search() {
        for body in [
            "y = AveragePool <kernel_shape = [2, 2]> (x)",
            "z = Add (x, x) y = MaxPool <kernel_shape = [1, 1]> (z)",
        ] {
            assert_eq!(find(body).unwrap(), None, "{body}");
        }
    }
}
