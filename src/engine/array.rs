//! Arrays that go into an engine and come out of it.

use half::{bf16, f16};
use ndarray::{ArrayD, Dimension};

use crate::error::{Error, Result};
use crate::graph::DataType;

macro_rules! arrays {
    ($($variant:ident $type:ty, $widen:expr;)*) => {
        /// A dense array of one of the element types an engine handles.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        #[non_exhaustive]
        pub enum Array {
            $($variant(ArrayD<$type>),)*
        }

        impl Array {
            /// The extents of the axes.
            pub fn shape(&self) -> &[usize] {
                match self {
                    $(Self::$variant(array) => array.shape(),)*
                }
            }

            /// The element type.
            pub fn dtype(&self) -> DataType {
                match self {
                    $(Self::$variant(_) => DataType::$variant,)*
                }
            }

            /// The elements as doubles; true is 1 and false is 0, and integers past 2⁵³ are rounded.
            pub fn to_f64(&self) -> ArrayD<f64> {
                match self {
                    $(Self::$variant(array) => array.mapv($widen),)*
                }
            }
        }

        $(impl<D: Dimension> From<ndarray::Array<$type, D>> for Array {
            fn from(array: ndarray::Array<$type, D>) -> Self {
                Self::$variant(array.into_dyn())
            }
        })*
    };
}

arrays! {
    F32 f32, f64::from;
    F64 f64, |v| v;
    F16 f16, f16::to_f64;
    BF16 bf16, bf16::to_f64;
    I64 i64, |v| v as f64;
    I32 i32, f64::from;
    I16 i16, f64::from;
    I8 i8, f64::from;
    U64 u64, |v| v as f64;
    U32 u32, f64::from;
    U16 u16, f64::from;
    U8 u8, f64::from;
    Bool bool, |v| f64::from(u8::from(v));
}

impl Array {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `values` rounded to the float type `dtype`.
    ///
    /// # Errors
    /// When `dtype` is no float type an engine handles.
    pub fn floats(dtype: DataType, values: ArrayD<f64>) -> Result<Self> {
        match dtype {
            DataType::F64 => Ok(Self::F64(values)),
            DataType::F32 => Ok(Self::F32(values.mapv(|v| v as f32))),
            DataType::F16 => Ok(Self::F16(values.mapv(f16::from_f64))),
            DataType::BF16 => Ok(Self::BF16(values.mapv(bf16::from_f64))),
            other => Err(Error::request(format!("expected a float type, found {}", other.name()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr0, array};

    use super::*;

    #[test]
    fn arrays_know_their_type_and_shape_and_widen() {
        let cases: [(Array, DataType); 7] = [
            (array![[1f32, 0.0]].into(), DataType::F32),
            (array![[1f64, 0.0]].into(), DataType::F64),
            (array![[f16::ONE, f16::ZERO]].into(), DataType::F16),
            (array![[bf16::ONE, bf16::ZERO]].into(), DataType::BF16),
            (array![[1i64, 0]].into(), DataType::I64),
            (array![[1u8, 0]].into(), DataType::U8),
            (array![[true, false]].into(), DataType::Bool),
        ];
        for (array, dtype) in cases {
            assert_eq!((array.dtype(), array.shape(), array.len()), (dtype, &[1, 2][..], 2));
            assert_eq!(array.to_f64(), array![[1.0, 0.0]].into_dyn());
        }
        assert_eq!(Array::from(arr0(7i32)).shape(), [0usize; 0]);
    }

    #[test]
    fn floats_round_to_the_type_asked_for() {
        let values = array![0.1, 1e9].into_dyn();
        for dtype in [DataType::F16, DataType::BF16, DataType::F32, DataType::F64] {
            assert_eq!(Array::floats(dtype, values.clone()).unwrap().dtype(), dtype);
        }
        assert!(Array::floats(DataType::I64, values).is_err());
    }
}
