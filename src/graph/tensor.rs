//! Constant tensors: element type, dimensions and little-endian bytes.

use std::borrow::Cow;

use bytes::Bytes;
use half::{bf16, f16};

use crate::error::{Error, Result};

/// An ONNX element type; the discriminant is the number ONNX gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum DataType {
    F32 = 1,
    U8 = 2,
    I8 = 3,
    U16 = 4,
    I16 = 5,
    I32 = 6,
    I64 = 7,
    String = 8,
    Bool = 9,
    F16 = 10,
    F64 = 11,
    U32 = 12,
    U64 = 13,
    C64 = 14,
    C128 = 15,
    BF16 = 16,
    F8E4M3FN = 17,
    F8E4M3FNUZ = 18,
    F8E5M2 = 19,
    F8E5M2FNUZ = 20,
    U4 = 21,
    I4 = 22,
    F4E2M1 = 23,
    F8E8M0 = 24,
    U2 = 25,
    I2 = 26,
}

impl DataType {
    const ALL: [(Self, &'static str); 26] = [
        (Self::F32, "float"),
        (Self::U8, "uint8"),
        (Self::I8, "int8"),
        (Self::U16, "uint16"),
        (Self::I16, "int16"),
        (Self::I32, "int32"),
        (Self::I64, "int64"),
        (Self::String, "string"),
        (Self::Bool, "bool"),
        (Self::F16, "float16"),
        (Self::F64, "double"),
        (Self::U32, "uint32"),
        (Self::U64, "uint64"),
        (Self::C64, "complex64"),
        (Self::C128, "complex128"),
        (Self::BF16, "bfloat16"),
        (Self::F8E4M3FN, "float8e4m3fn"),
        (Self::F8E4M3FNUZ, "float8e4m3fnuz"),
        (Self::F8E5M2, "float8e5m2"),
        (Self::F8E5M2FNUZ, "float8e5m2fnuz"),
        (Self::U4, "uint4"),
        (Self::I4, "int4"),
        (Self::F4E2M1, "float4e2m1"),
        (Self::F8E8M0, "float8e8m0"),
        (Self::U2, "uint2"),
        (Self::I2, "int2"),
    ];

    /// The type ONNX numbers `code`, `None` for 0 (undefined) and unknown numbers.
    pub fn from_onnx(code: i32) -> Option<Self> {
        Self::ALL.iter().map(|&(t, _)| t).find(|&t| t as i32 == code)
    }

    /// The name of the type in the ONNX text syntax.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize - 1].1
    }

    /// The type called `name` in the ONNX text syntax.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|&(t, _)| t)
    }

    /// Bits of one element; strings have none.
    pub fn bits(self) -> usize {
        use DataType::*;
        match self {
            String => 0,
            U2 | I2 => 2,
            U4 | I4 | F4E2M1 => 4,
            U8 | I8 | Bool | F8E4M3FN | F8E4M3FNUZ | F8E5M2 | F8E5M2FNUZ | F8E8M0 => 8,
            U16 | I16 | F16 | BF16 => 16,
            F32 | I32 | U32 => 32,
            F64 | I64 | U64 | C64 => 64,
            C128 => 128,
        }
    }

    /// Whether the type is a float that a projection can be computed in.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    /// The type in which sums of values of this type are accumulated.
    pub fn accumulator(self) -> Self {
        match self {
            Self::F16 | Self::BF16 => Self::F32,
            other => other,
        }
    }
}

/// Where the elements of a tensor are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Little-endian elements, row-major; often a window of a mapped file.
    Bytes(Bytes),
    /// Elements of a string tensor.
    Strings(Vec<Bytes>),
    /// Elements in another file.
    External(External),
}

/// Elements that live in another file, and how the model names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// The mapped elements.
    pub bytes: Bytes,
    /// The location relative to the model's folder, as the model spells it.
    pub location: String,
    /// The first byte.
    pub offset: u64,
    /// Further entries of `external_data` (a checksum), carried along.
    pub extra: Vec<(String, String)>,
}

/// A constant tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// The element type.
    pub dtype: DataType,
    /// The dimensions.
    pub dims: Vec<i64>,
    /// The elements.
    pub data: Data,
    /// Encoded fields that this program has no use for and hands on.
    pub carry: Bytes,
}

impl Tensor {
    /// A tensor of `dims` over little-endian `bytes`.
    pub fn new(dtype: DataType, dims: Vec<i64>, bytes: impl Into<Bytes>) -> Self {
        Self { dtype, dims, data: Data::Bytes(bytes.into()), carry: Bytes::new() }
    }

    /// An int64 vector.
    pub fn ints(values: &[i64]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self::new(DataType::I64, vec![values.len() as i64], bytes)
    }

    /// An int64 scalar.
    pub fn int(value: i64) -> Self {
        Self::new(DataType::I64, vec![], value.to_le_bytes().to_vec())
    }

    /// A float tensor of type `dtype`, rounded from `values` in row-major order.
    ///
    /// # Panics
    /// When `dtype` is not a float.
    pub fn floats(dtype: DataType, dims: Vec<i64>, values: &[f64]) -> Self {
        let bytes: Vec<u8> = match dtype {
            DataType::F64 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            DataType::F32 => values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
            DataType::F16 => values.iter().flat_map(|&v| f16::from_f64(v).to_le_bytes()).collect(),
            DataType::BF16 => {
                values.iter().flat_map(|&v| bf16::from_f64(v).to_le_bytes()).collect()
            }
            other => panic!("{} is no float type", other.name()),
        };
        Self::new(dtype, dims, bytes)
    }

    /// A float scalar of type `dtype`.
    pub fn float(dtype: DataType, value: f64) -> Self {
        Self::floats(dtype, vec![], &[value])
    }

    /// The number of elements the dimensions ask for.
    pub fn len(&self) -> usize {
        self.dims.iter().map(|&d| d.max(0) as usize).product()
    }

    /// Whether the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The little-endian elements; empty for string tensors.
    pub fn bytes(&self) -> &Bytes {
        static EMPTY: Bytes = Bytes::new();
        match &self.data {
            Data::Bytes(bytes) => bytes,
            Data::External(external) => &external.bytes,
            Data::Strings(_) => &EMPTY,
        }
    }

    /// The elements of an integer or Boolean tensor, widened.
    ///
    /// # Errors
    /// When the type is no integer of 8 bits or more, or the data is short.
    pub fn to_ints(&self) -> Result<Vec<i64>> {
        let bytes = self.whole_bytes()?;
        Ok(match self.dtype {
            DataType::I64 => words(bytes, i64::from_le_bytes),
            DataType::I32 => words(bytes, |b| i32::from_le_bytes(b).into()),
            DataType::I16 => words(bytes, |b| i16::from_le_bytes(b).into()),
            DataType::I8 => words(bytes, |b| i8::from_le_bytes(b).into()),
            DataType::U8 | DataType::Bool => words(bytes, |b: [u8; 1]| b[0].into()),
            DataType::U16 => words(bytes, |b| u16::from_le_bytes(b).into()),
            DataType::U32 => words(bytes, |b| u32::from_le_bytes(b).into()),
            other => {
                return Err(Error::request(format!("expected integers, found {}", other.name())));
            }
        })
    }

    /// The elements of a float tensor, widened to double.
    ///
    /// # Errors
    /// When the type is no float, or the data is short.
    pub fn to_floats(&self) -> Result<Vec<f64>> {
        let bytes = self.whole_bytes()?;
        Ok(match self.dtype {
            DataType::F64 => words(bytes, f64::from_le_bytes),
            DataType::F32 => words(bytes, |b| f32::from_le_bytes(b).into()),
            DataType::F16 => words(bytes, |b| f16::from_le_bytes(b).to_f64()),
            DataType::BF16 => words(bytes, |b| bf16::from_le_bytes(b).to_f64()),
            other => {
                return Err(Error::request(format!("expected floats, found {}", other.name())));
            }
        })
    }

    /// Whether a float element is infinite.
    pub fn has_infinity(&self) -> bool {
        let bytes = self.bytes();
        match self.dtype {
            DataType::F32 => chunks(bytes).any(|&b| f32::from_le_bytes(b).is_infinite()),
            DataType::F64 => chunks(bytes).any(|&b| f64::from_le_bytes(b).is_infinite()),
            DataType::F16 => chunks(bytes).any(|&b| f16::from_le_bytes(b).is_infinite()),
            DataType::BF16 => chunks(bytes).any(|&b| bf16::from_le_bytes(b).is_infinite()),
            _ => false,
        }
    }

    /// Whether every element is a finite float32 or float64.
    pub fn is_finite(&self) -> bool {
        let bytes = self.bytes();
        match self.dtype {
            DataType::F32 => chunks(bytes).all(|&b| f32::from_le_bytes(b).is_finite()),
            DataType::F64 => chunks(bytes).all(|&b| f64::from_le_bytes(b).is_finite()),
            _ => false,
        }
    }

    /// The bytes, checked against the dimensions.
    ///
    /// # Errors
    /// When there are fewer bytes than the dimensions ask for.
    pub fn whole_bytes(&self) -> Result<&[u8]> {
        let need = self.byte_len().ok_or_else(|| {
            Error::unreadable(format!("the dimensions {:?} are no tensor's", self.dims))
        })?;
        let bytes = self.bytes();
        if bytes.len() < need {
            return Err(Error::unreadable(format!(
                "the tensor's data is {} bytes long, its dimensions {:?} of {} need {need}",
                bytes.len(),
                self.dims,
                self.dtype.name()
            )));
        }
        Ok(&bytes[..need])
    }

    /// Bytes the dimensions ask for; `None` when negative or past the address space.
    pub fn byte_len(&self) -> Option<usize> {
        let bits = self
            .dims
            .iter()
            .try_fold(self.dtype.bits(), |n, &d| n.checked_mul(usize::try_from(d).ok()?))?;
        Some(bits.div_ceil(8))
    }

    /// The elements as text for short listings.
    pub fn preview(&self, most: usize) -> Cow<'static, str> {
        let join = |list: Vec<String>| list.into_iter().take(most).collect::<Vec<_>>().join(", ");
        match (self.to_floats(), self.to_ints()) {
            (Ok(v), _) => join(v.iter().map(|v| format!("{v}")).collect()).into(),
            (_, Ok(v)) => join(v.iter().map(|v| format!("{v}")).collect()).into(),
            _ => "…".into(),
        }
    }
}

fn words<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    chunks(bytes).map(|&chunk| read(chunk)).collect()
}

fn chunks<const N: usize>(bytes: &[u8]) -> std::slice::Iter<'_, [u8; N]> {
    bytes.as_chunks::<N>().0.iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_round_trip_through_code_and_name() {
        for (dtype, name) in DataType::ALL {
            assert_eq!(DataType::from_onnx(dtype as i32), Some(dtype));
            assert_eq!(DataType::from_name(name), Some(dtype));
            assert_eq!(dtype.name(), name);
        }
        assert_eq!(DataType::from_onnx(0), None);
        assert_eq!(DataType::from_onnx(99), None);
    }

    #[test]
    fn floats_round_trip_in_every_float_type() {
        for dtype in [DataType::F16, DataType::BF16, DataType::F32, DataType::F64] {
            let tensor = Tensor::floats(dtype, vec![3], &[1.0, -2.5, 0.0]);
            assert_eq!(tensor.to_floats().unwrap(), [1.0, -2.5, 0.0]);
        }
    }

    #[test]
    fn infinities_are_found_in_every_float_type() {
        for dtype in [DataType::F16, DataType::BF16, DataType::F32, DataType::F64] {
            let has = |value| Tensor::floats(dtype, vec![2], &[1.0, value]).has_infinity();
            assert!(has(f64::NEG_INFINITY) && !has(f64::NAN) && !has(2.0), "{}", dtype.name());
        }
    }

    #[test]
    fn short_data_is_an_error() {
        let tensor = Tensor::new(DataType::F32, vec![3], vec![0; 8]);
        assert!(tensor.to_floats().is_err());
        let tensor = Tensor::new(DataType::F32, vec![i64::MAX, 4], vec![0; 8]);
        assert!(tensor.to_floats().is_err());
    }

    #[test]
    fn unaligned_bytes_are_read() {
        let bytes = Bytes::from(vec![9, 0, 0, 128, 63]).slice(1..);
        assert_eq!(Tensor::new(DataType::F32, vec![1], bytes).to_floats().unwrap(), [1.0]);
    }
}
