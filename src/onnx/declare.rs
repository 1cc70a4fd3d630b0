//! Declarations of values: element type and symbolic shape.

use std::sync::Arc;

use super::proto::tensor_shape_proto::Dimension;
use super::proto::tensor_shape_proto::dimension::Value as DimValue;
use super::proto::{TypeProto, ValueInfoProto, type_proto};
use super::{pack, unpack};
use crate::error::Result;
use crate::graph::{DataType, Dim, Facts, Tensor, Value};
use rten_shape_inference::Symbol;

/// A value as `proto` declares it; whatever [`write`] would not say anyway is carried.
pub fn read(proto: ValueInfoProto) -> Result<Value> {
    let mut value = Value::new(proto.name.clone().unwrap_or_default());
    if let Some(type_proto::Value::TensorType(tensor)) =
        proto.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    {
        value.dtype = DataType::from_onnx(tensor.elem_type.unwrap_or_default());
        if let Some(shape) = &tensor.shape {
            let dims = shape.dim.iter().enumerate();
            let dims = dims
                .map(|(axis, dim)| read_dim(dim).unwrap_or_else(|| unknown_dim(&value.name, axis)));
            value.facts = Facts::from_shape(dims.collect()).into();
        }
    }
    if write(&value)? != proto {
        value.carry = pack(&proto);
    }
    Ok(value)
}

/// The value called `name` that `tensor` initialises.
pub fn of_tensor(name: &str, dtype: DataType, dims: &[i64]) -> Value {
    let dims = dims.iter().enumerate().map(|(axis, &dim)| match i32::try_from(dim) {
        Ok(dim) => Dim::Value(dim),
        Err(_) => unknown_dim(name, axis),
    });
    Value::typed(name, dtype, dims.collect())
}

/// The value called `name` with `tensor` as its contents.
pub fn initializer(name: &str, tensor: Tensor) -> Value {
    let value = of_tensor(name, tensor.dtype, &tensor.dims);
    Value { tensor: Some(tensor.into()), ..value }
}

/// The declaration of `value`.
///
/// # Errors
/// When what the value carries cannot be decoded.
pub fn write(value: &Value) -> Result<ValueInfoProto> {
    let mut proto: ValueInfoProto = unpack(&*value.carry)?;
    proto.name = Some(value.name.clone());
    let Some(dtype) = value.dtype else { return Ok(proto) };
    let tensor = tensor_type(proto.r#type.get_or_insert_default());
    tensor.elem_type = Some(dtype as i32);
    let Some(dims) = value.dims() else { return Ok(proto) };
    let slots = &mut tensor.shape.get_or_insert_default().dim;
    slots.resize_with(dims.len(), Dimension::default);
    for (slot, dim) in slots.iter_mut().zip(&dims) {
        let known = write_dim(dim);
        // An unknown dimension may be spelt in several ways (absent, empty, negative): keep them.
        if known.is_some() || read_dim(slot).is_some() {
            slot.value = known;
        }
    }
    Ok(proto)
}

/// Whether the declaration of a value inside a graph is worth writing.
pub fn says_something(value: &Value) -> bool {
    !value.carry.is_empty() || (value.dtype.is_some() && value.facts.ndim().is_some())
}

fn tensor_type(proto: &mut TypeProto) -> &mut type_proto::Tensor {
    if !matches!(proto.value, Some(type_proto::Value::TensorType(_))) {
        proto.value = Some(type_proto::Value::TensorType(type_proto::Tensor::default()));
    }
    match &mut proto.value {
        Some(type_proto::Value::TensorType(tensor)) => tensor,
        _ => unreachable!("it has just been set"),
    }
}

fn read_dim(dim: &Dimension) -> Option<Dim> {
    match dim.value.as_ref()? {
        DimValue::DimValue(number) => {
            i32::try_from(*number).ok().filter(|&n| n >= 0).map(Dim::Value)
        }
        DimValue::DimParam(name) => (!name.is_empty()).then(|| Dim::pos_var(name)),
    }
}

fn write_dim(dim: &Dim) -> Option<DimValue> {
    match dim {
        Dim::Value(number) => Some(DimValue::DimValue((*number).into())),
        expression if is_named(expression) => Some(DimValue::DimParam(expression.to_string())),
        _ => None,
    }
}

/// Whether every symbol in the expression has a name that people gave it.
fn is_named(dim: &Dim) -> bool {
    match dim {
        Dim::Value(_) => true,
        Dim::Var(symbol) => !symbol.synthetic,
        Dim::Neg(a) => is_named(a),
        Dim::Add(a, b)
        | Dim::Sub(a, b)
        | Dim::Mul(a, b)
        | Dim::Div(a, b)
        | Dim::DivCeil(a, b)
        | Dim::Max(a, b)
        | Dim::Min(a, b)
        | Dim::Broadcast(a, b) => is_named(a) && is_named(b),
    }
}

fn unknown_dim(name: &str, axis: usize) -> Dim {
    Dim::Var(Arc::new(Symbol { name: format!("{name}?{axis}"), positive: true, synthetic: true }))
}
