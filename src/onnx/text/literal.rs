//! Names, types, tensors and attribute values as text.

use std::fmt::{Debug, Display};

use super::attribute::{kind_name, kind_of};
use super::lex::{is_identifier, is_special_float};
use super::tensor::{is_type_word, literals};
use super::wire::{self, Held};
use crate::graph::{Attr, Data, DataType, Dim, Tensor, Value};

/// What stands for data that was left out; the parser refuses it.
const ELIDED: &str = "…";

/// `text` in quotes.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Bytes in quotes, or the mark of data left out where they are no UTF-8.
fn quote_bytes(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| ELIDED.to_owned(), quote)
}

/// A name as it can stand anywhere: quoted unless it is a plain word that means nothing else.
pub(super) fn name(name: &str) -> String {
    if is_type_word(name) || is_special_float(name) { quote(name) } else { word(name) }
}

/// An operator, a domain or an attribute: quoted unless it is an identifier.
pub(super) fn word(name: &str) -> String {
    if is_identifier(name) { name.to_owned() } else { quote(name) }
}

/// `items` with commas between.
pub(super) fn commas(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}

/// The type of a value; empty where none is known or none can be spelled.
pub(super) fn value_type(value: &Value) -> String {
    match (value.dtype, value.dims()) {
        (Some(dtype), Some(dims)) => dtype.name().to_owned() + &dims_text(&dims),
        (Some(dtype), None) => format!("{}[]", dtype.name()),
        (None, _) => {
            wire::find(&value.carry, 2).and_then(|t| proto_type(t.bytes(), 0)).unwrap_or_default()
        }
    }
}

fn dims_text(dims: &[Dim]) -> String {
    if dims.is_empty() { String::new() } else { format!("[{}]", commas(dims.iter().map(dim_text))) }
}

/// A dimension: a number, a name, an expression in quotes, or `?` where a size has no name.
fn dim_text(dim: &Dim) -> String {
    let unnamed = |part: &Dim| matches!(part, Dim::Var(symbol) if symbol.synthetic);
    match dim {
        Dim::Value(number @ 0..) => number.to_string(),
        dim if unnamed(dim) || matches!(dim, Dim::Value(_)) => "?".to_owned(),
        Dim::Var(symbol) => word(&symbol.name),
        expression if expression.iter().any(unnamed) => "?".to_owned(),
        expression => quote(&expression.to_string()),
    }
}

/// An encoded `TypeProto` as text, unless it is of no known kind or nested past any use.
fn proto_type(message: &[u8], depth: usize) -> Option<String> {
    let (tag, held) = wire::fields(message).find(|(_, held)| matches!(held, Held::Bytes(_)))?;
    let body = held.bytes();
    let inner = |tag| {
        let found = wire::find(body, tag).filter(|_| depth < 60)?;
        proto_type(found.bytes(), depth + 1)
    };
    let text = |tag| wire::find(body, tag).and_then(|t| std::str::from_utf8(t.bytes()).ok());
    Some(match tag {
        1 => proto_tensor_type(body)?,
        4 => format!("seq({})", inner(1)?),
        9 => format!("optional({})", inner(1)?),
        5 => format!("map({}, {})", dtype_of(body)?.name(), inner(2)?),
        8 => format!("sparse_tensor({})", proto_tensor_type(body)?),
        7 => {
            let dotted = |name: &str| name.split('.').map(word).collect::<Vec<_>>().join(".");
            let parts = [text(1).map(dotted), text(2).map(dotted)];
            format!("opaque({})", commas(parts.into_iter().flatten()))
        }
        _ => return None,
    })
}

fn dtype_of(message: &[u8]) -> Option<DataType> {
    DataType::from_onnx(i32::try_from(wire::find(message, 1)?.number()).ok()?)
}

fn proto_tensor_type(message: &[u8]) -> Option<String> {
    let dtype = dtype_of(message)?.name();
    let Some(shape) = wire::find(message, 2) else {
        return Some(format!("{dtype}[]"));
    };
    let dims: Vec<String> = wire::fields(shape.bytes())
        .filter(|(tag, _)| *tag == 1)
        .map(|(_, dim)| match wire::fields(dim.bytes()).find(|(tag, _)| matches!(tag, 1 | 2)) {
            Some((1, number)) => number.number().to_string(),
            Some((_, name)) => std::str::from_utf8(name.bytes()).map_or("?".to_owned(), word),
            None => "?".to_owned(),
        })
        .collect();
    Some(if dims.is_empty() { dtype.to_owned() } else { format!("{dtype}[{}]", commas(dims)) })
}

/// The type of a tensor.
pub(super) fn tensor_type(tensor: &Tensor) -> String {
    let dims = commas(tensor.dims.iter().map(i64::to_string));
    let dtype = tensor.dtype.name();
    if tensor.dims.is_empty() { dtype.to_owned() } else { format!("{dtype}[{dims}]") }
}

/// The elements in braces; left out where there are more than `most`, or fewer than there should.
pub(super) fn elements(tensor: &Tensor, most: usize) -> String {
    let wanted = literals(tensor).filter(|&count| count <= most);
    match wanted.and_then(|_| all_elements(tensor)) {
        Some(items) => format!("{{{}}}", commas(items)),
        None => format!("{{{ELIDED}}}"),
    }
}

fn all_elements(tensor: &Tensor) -> Option<Vec<String>> {
    use DataType::*;
    if let Data::Strings(strings) = &tensor.data {
        let whole = tensor.dtype == String && Some(strings.len()) == literals(tensor);
        return whole.then(|| strings.iter().map(|text| quote_bytes(text)).collect());
    }
    let bytes = tensor.whole_bytes().ok()?;
    Some(match tensor.dtype {
        String => return None,
        F32 | C64 => read(bytes, |b| short_float(f32::from_le_bytes(b))),
        F64 | C128 => read(bytes, |b| short_float(f64::from_le_bytes(b))),
        I8 => read(bytes, |b| i8::from_le_bytes(b).to_string()),
        I16 => read(bytes, |b| i16::from_le_bytes(b).to_string()),
        I32 => read(bytes, |b| i32::from_le_bytes(b).to_string()),
        I64 => read(bytes, |b| i64::from_le_bytes(b).to_string()),
        U16 | F16 | BF16 => read(bytes, |b| u16::from_le_bytes(b).to_string()),
        U32 => read(bytes, |b| u32::from_le_bytes(b).to_string()),
        U64 => read(bytes, |b| u64::from_le_bytes(b).to_string()),
        Bool => read(bytes, |b: [u8; 1]| u8::from(b != [0]).to_string()),
        _ => read(bytes, |b| u8::from_le_bytes(b).to_string()),
    })
}

fn read<const N: usize>(bytes: &[u8], text: impl Fn([u8; N]) -> String) -> Vec<String> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| text(chunk)).collect()
}

/// The shortest digits that read back as the same float, with a point or an exponent.
fn float(value: impl Debug + Display) -> String {
    // `Debug` keeps the point, but spells NaN in capitals.
    format!("{value:?}").replace("NaN", "nan")
}

/// As [`float`], where a whole number needs no point.
fn short_float(value: impl Debug + Display) -> String {
    let text = float(value);
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// The kind of an attribute, where its value alone doesn't say it.
pub(super) fn attribute_kind(attr: &Attr) -> Option<&'static str> {
    let told = match attr {
        Attr::Float(_) | Attr::Int(_) | Attr::String(_) | Attr::Tensor(_) | Attr::Graph(_) => true,
        Attr::Floats(list) => !list.is_empty(),
        Attr::Ints(list) => !list.is_empty(),
        Attr::Strings(list) => !list.is_empty(),
        _ => false,
    };
    if told { None } else { kind_name(kind_of(attr)) }
}

/// The value of an attribute that holds no graph.
pub(super) fn attribute_value(attr: &Attr, most: usize) -> String {
    match attr {
        Attr::Float(value) => float(value),
        Attr::Int(value) => value.to_string(),
        Attr::String(bytes) => quote_bytes(bytes),
        Attr::Tensor(value) => tensor(value, most),
        Attr::Floats(list) => format!("[{}]", commas(list.iter().map(float))),
        Attr::Ints(list) => format!("[{}]", commas(list.iter().map(i64::to_string))),
        Attr::Strings(list) => format!("[{}]", commas(list.iter().map(|text| quote_bytes(text)))),
        Attr::Tensors(list) => format!("[{}]", commas(list.iter().map(|t| tensor(t, most)))),
        Attr::Reference { name, .. } => format!("@{}", word(name)),
        Attr::Opaque { kind: 13, fields } => wire::find(fields, 14)
            .and_then(|typ| proto_type(typ.bytes(), 0))
            .unwrap_or_else(|| ELIDED.to_owned()),
        Attr::Opaque { kind: 14, fields } => {
            let types = wire::fields(fields).filter(|(tag, _)| *tag == 15);
            let types = types.map(|(_, typ)| proto_type(typ.bytes(), 0));
            format!("[{}]", commas(types.map(|typ| typ.unwrap_or_else(|| ELIDED.to_owned()))))
        }
        Attr::Opaque { .. } | Attr::Graph(_) | Attr::Graphs(_) => ELIDED.to_owned(),
    }
}

fn tensor(tensor: &Tensor, most: usize) -> String {
    let named = wire::find(&tensor.carry, 8).and_then(|n| std::str::from_utf8(n.bytes()).ok());
    let named = named.filter(|n| !n.is_empty()).map(|n| format!(" {}", name(n)));
    let typ = tensor_type(tensor);
    format!("{typ}{} {}", named.unwrap_or_default(), elements(tensor, most))
}
