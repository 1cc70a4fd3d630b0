//! Types and tensor literals.

use bytes::Bytes;
use half::{bf16, f16};

use super::lex::{Token, is_special_float};
use super::parse::Parser;
use super::wire;
use crate::error::Result;
use crate::graph::{Data, DataType, Dim, Tensor, Value, fixed};

/// A type as the syntax spells it.
pub(super) enum Type {
    /// A tensor type; no dimensions where the rank is unknown.
    Tensor(DataType, Option<Vec<Dim>>),
    /// The encoded `TypeProto` of any other.
    Other(Vec<u8>),
}

impl Type {
    /// The encoded `TypeProto`.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Tensor(dtype, dims) => wire::field(1, &encode_tensor_type(*dtype, dims)),
            Self::Other(bytes) => bytes.clone(),
        }
    }

    /// Gives `value` this type.
    pub(super) fn declare(&self, value: &mut Value) {
        match self {
            Self::Tensor(dtype, Some(dims)) => {
                let carry = std::mem::take(&mut value.carry);
                let typed = Value::typed(std::mem::take(&mut value.name), *dtype, dims.clone());
                *value = Value { carry, tensor: value.tensor.take(), ..typed };
            }
            Self::Tensor(dtype, None) => value.dtype = Some(*dtype),
            Self::Other(bytes) => value.carry = wire::field(2, bytes).into(),
        }
    }
}

fn encode_tensor_type(dtype: DataType, dims: &Option<Vec<Dim>>) -> Vec<u8> {
    let mut out = wire::number(1, dtype as i64);
    if let Some(dims) = dims {
        let dims: Vec<u8> = dims.iter().flat_map(|dim| wire::field(1, &encode_dim(dim))).collect();
        out.extend(wire::field(2, &dims));
    }
    out
}

fn encode_dim(dim: &Dim) -> Vec<u8> {
    match (fixed(dim), dim) {
        (Some(number), _) => wire::number(1, number),
        (_, Dim::Var(symbol)) if symbol.synthetic => Vec::new(),
        _ => wire::field(2, dim.to_string().as_bytes()),
    }
}

/// Whether a type begins with `word`.
pub(super) fn is_type_word(word: &str) -> bool {
    DataType::from_name(word).is_some()
        || matches!(word, "seq" | "map" | "optional" | "sparse_tensor" | "opaque")
}

impl Parser<'_> {
    /// Whether a type stands next.
    pub(super) fn at_type(&self) -> bool {
        matches!(self.peek(), Token::Word(word) if is_type_word(word))
    }

    /// A type.
    pub(super) fn typ(&mut self) -> Result<Type> {
        self.nested(|parser| {
            if let Token::Word(word @ ("seq" | "optional" | "map" | "sparse_tensor" | "opaque")) =
                parser.peek().clone()
            {
                parser.advance();
                parser.expect('(')?;
                let bytes = parser.other_type(word)?;
                parser.expect(')')?;
                return Ok(Type::Other(bytes));
            }
            let dtype = parser.dtype()?;
            Ok(Type::Tensor(dtype, parser.dims()?))
        })
    }

    fn other_type(&mut self, word: &str) -> Result<Vec<u8>> {
        Ok(match word {
            "seq" => wire::field(4, &wire::field(1, &self.typ()?.encode())),
            "optional" => wire::field(9, &wire::field(1, &self.typ()?.encode())),
            "map" => {
                let mut map = wire::number(1, self.dtype()? as i64);
                self.expect(',')?;
                map.extend(wire::field(2, &self.typ()?.encode()));
                wire::field(5, &map)
            }
            "sparse_tensor" => {
                let dtype = self.dtype()?;
                wire::field(8, &encode_tensor_type(dtype, &self.dims()?))
            }
            _ => wire::field(7, &self.opaque()?),
        })
    }

    fn opaque(&mut self) -> Result<Vec<u8>> {
        if matches!(self.peek(), Token::Mark(')')) {
            return Ok(Vec::new());
        }
        let mut domain = self.name("the name of an opaque type")?;
        while self.eat('.') {
            domain = format!("{domain}.{}", self.name("the rest of the name behind '.'")?);
        }
        if !self.eat(',') {
            return Ok(wire::field(2, domain.as_bytes()));
        }
        let name = self.name("the name of an opaque type")?;
        Ok([wire::field(1, domain.as_bytes()), wire::field(2, name.as_bytes())].concat())
    }

    fn dtype(&mut self) -> Result<DataType> {
        match *self.peek() {
            Token::Word(word) if DataType::from_name(word).is_some() => {
                self.advance();
                Ok(DataType::from_name(word).unwrap_or(DataType::F32))
            }
            _ => Err(self.expected("an element type such as float")),
        }
    }

    /// None for `[]`, no dimensions for nothing.
    fn dims(&mut self) -> Result<Option<Vec<Dim>>> {
        if !self.eat('[') {
            return Ok(Some(Vec::new()));
        }
        let dims = self.list(']', Self::dim)?;
        Ok(if dims.is_empty() { None } else { Some(dims) })
    }

    fn dim(&mut self) -> Result<Dim> {
        if self.eat('?') {
            return Ok(self.symbols.gen_positive());
        }
        match self.peek().clone() {
            Token::Int(digits) => match digits.parse() {
                Ok(number @ 0..) => {
                    self.advance();
                    Ok(Dim::Value(number))
                }
                _ => Err(self.expected("a dimension from 0 to 2147483647")),
            },
            Token::Word(_) | Token::Text(_) => Ok(Dim::pos_var(&self.name("a dimension")?)),
            _ => Err(self.expected("a dimension (a number, a name or '?')")),
        }
    }

    /// The elements of a tensor of type `typ`, in braces.
    pub(super) fn tensor(&mut self, typ: &Type, at: usize) -> Result<Tensor> {
        let Type::Tensor(dtype, Some(dims)) = typ else {
            return Err(self.wrong(at, "a constant needs a tensor type with all its dimensions"));
        };
        let Some(dims) = dims.iter().map(fixed).collect::<Option<Vec<_>>>() else {
            return Err(self.wrong(at, "the dimensions of a constant must be numbers"));
        };
        if matches!(self.peek(), Token::Mark('[')) {
            return Err(self.wrong(
                self.here(),
                "external data has no folder to be read from here: write the elements in braces",
            ));
        }
        self.expect('{')?;
        let start = self.here();
        let (data, count) = if *dtype == DataType::String {
            let strings = self.list('}', |p| p.quoted("a string in quotes").map(Bytes::from))?;
            let count = strings.len();
            (Data::Strings(strings), count)
        } else {
            let mut bytes = Vec::new();
            let count = self.list('}', |parser| parser.element(*dtype, &mut bytes))?.len();
            (Data::Bytes(bytes.into()), count)
        };
        let tensor = Tensor { dtype: *dtype, dims, data, carry: Bytes::new() };
        match literals(&tensor) {
            Some(need) if need == count => Ok(tensor),
            Some(need) => {
                Err(self.wrong(start, format!("expected {need} elements, found {count}")))
            }
            None => Err(self.wrong(at, "these dimensions are too large for a tensor")),
        }
    }

    /// Appends one literal of type `dtype`.
    fn element(&mut self, dtype: DataType, out: &mut Vec<u8>) -> Result<()> {
        use DataType::*;
        let at = self.here();
        match dtype {
            F32 | C64 => out.extend(self.float("a number")?.to_le_bytes()),
            F64 | C128 => out.extend(self.double("a number")?.to_le_bytes()),
            F16 if self.at_float() => {
                out.extend(f16::from_f64(self.double("a number")?).to_le_bytes());
            }
            BF16 if self.at_float() => {
                out.extend(bf16::from_f64(self.double("a number")?).to_le_bytes());
            }
            _ => {
                let wide: i128 = self.integer("a whole number")?;
                let (low, high) = range(dtype);
                if !(low..=high).contains(&wide) {
                    let what = format!("{wide} is no {} ({low} to {high})", dtype.name());
                    return Err(self.wrong(at, what));
                }
                let bytes = wide.to_le_bytes();
                out.extend(bytes.iter().take(dtype.bits().div_ceil(8)));
            }
        }
        Ok(())
    }

    /// Whether a literal stands next that only a float can be.
    fn at_float(&self) -> bool {
        match self.peek() {
            Token::Float(_) => true,
            Token::Word(word) => is_special_float(word),
            _ => false,
        }
    }
}

/// How many literals spell the tensor: two for a complex number, one for a byte of packed ones.
pub(super) fn literals(tensor: &Tensor) -> Option<usize> {
    let bytes = tensor.byte_len()?;
    Some(match tensor.dtype {
        DataType::String => {
            return tensor
                .dims
                .iter()
                .try_fold(1_usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?));
        }
        DataType::C64 => bytes / 4,
        DataType::C128 => bytes / 8,
        dtype => bytes / dtype.bits().div_ceil(8),
    })
}

/// The numbers that can stand for an element; small floats are spelled as their bits, and types
/// below a byte as the bytes they are packed in.
fn range(dtype: DataType) -> (i128, i128) {
    use DataType::*;
    match dtype {
        Bool => (0, 1),
        I8 => (i8::MIN.into(), i8::MAX.into()),
        I16 => (i16::MIN.into(), i16::MAX.into()),
        I32 => (i32::MIN.into(), i32::MAX.into()),
        I64 => (i64::MIN.into(), i64::MAX.into()),
        U16 | F16 | BF16 => (0, u16::MAX.into()),
        U32 => (0, u32::MAX.into()),
        U64 => (0, u64::MAX.into()),
        I2 | I4 => (i8::MIN.into(), u8::MAX.into()),
        _ => (0, u8::MAX.into()),
    }
}
