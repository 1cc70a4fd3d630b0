//! Arrays that go into an engine and come out of it.

use half::{bf16, f16};
use ndarray::{ArrayD, ArrayViewD, Axis, Dimension, Slice};

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

            /// The samples `start..start + count` along the first axis as doubles, as
            /// [`Array::to_f64`] gives them; fewer where there are fewer.
            pub fn window(&self, start: usize, count: usize) -> ArrayD<f64> {
                match self {
                    $(Self::$variant(array) => rows(array, start, count).mapv($widen),)*
                }
            }

            /// The first `count` samples along the first axis.
            pub fn head(&self, count: usize) -> Self {
                match self {
                    $(Self::$variant(array) => Self::$variant(rows(array, 0, count).to_owned()),)*
                }
            }

            /// The arrays one after another along an axis, none of which may be missing.
            ///
            /// # Errors
            /// When their types differ, or their extents along other axes.
            pub fn joined(parts: &[Self], axis: usize) -> Result<Self> {
                let apart = || Error::internal("arrays that belong together do not fit");
                match parts.first().ok_or_else(apart)? {
                    $(Self::$variant(_) => {
                        let views = parts.iter().map(|part| match part {
                            Self::$variant(array) if axis < array.ndim() => Ok(array.view()),
                            _ => Err(apart()),
                        });
                        let views = views.collect::<Result<Vec<_>>>()?;
                        let joined = ndarray::concatenate(Axis(axis), &views);
                        Ok(Self::$variant(joined.map_err(|_| apart())?))
                    })*
                }
            }

            /// The array as the only sample along a new first axis.
            pub fn lifted(self) -> Self {
                match self {
                    $(Self::$variant(array) => Self::$variant(array.insert_axis(Axis(0))),)*
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

/// The rows `start..start + count`, as many of them as there are; all of an array without axes.
fn rows<T>(array: &ArrayD<T>, start: usize, count: usize) -> ArrayViewD<'_, T> {
    let Some(&all) = array.shape().first() else { return array.view() };
    let start = start.min(all);
    let end = start.saturating_add(count).min(all);
    array.slice_axis(Axis(0), Slice::from(start..end))
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
    fn rows_are_taken_and_made() {
        let array = Array::from(array![[1i8, 2], [3, 4], [5, 6]]);
        assert_eq!(array.window(1, 1), array![[3.0, 4.0]].into_dyn());
        assert_eq!(array.window(2, 9), array![[5.0, 6.0]].into_dyn());
        assert_eq!(array.window(7, 1).shape(), [0, 2]);
        assert_eq!(array.head(2), array![[1i8, 2], [3, 4]].into());
        assert_eq!(array.lifted().shape(), [1, 3, 2]);
        assert_eq!(Array::from(arr0(7i32)).head(1).lifted(), array![7i32].into());
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
