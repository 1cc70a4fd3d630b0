//! Tensors as the format writes them: raw, typed, textual and external elements.

use bytes::Bytes;

use super::external::Folder;
use super::proto::TensorProto;
use super::proto::tensor_proto::DataLocation;
use super::weights::Placer;
use super::{pack, unpack};
use crate::error::{Error, Result};
use crate::graph::{Data, DataType, Tensor};

/// The tensor that `proto` describes, its name left in the carry.
///
/// # Errors
/// When the type is unknown, the dimensions are no tensor's or the data is short of them.
pub fn load(mut proto: TensorProto, folder: &mut Folder) -> Result<Tensor> {
    let code = proto.data_type.take().unwrap_or_default();
    let Some(dtype) = DataType::from_onnx(code) else {
        return Err(Error::unreadable(format!("the tensor has the unknown element type {code}")));
    };
    let dims = std::mem::take(&mut proto.dims);
    let mut tensor = Tensor::new(dtype, dims, Bytes::new());
    let need = tensor.byte_len().ok_or_else(|| {
        Error::unreadable(format!("the dimensions {:?} are no tensor's", tensor.dims))
    })?;
    tensor.data = if proto.data_location == Some(DataLocation::External as i32) {
        proto.data_location = None;
        Data::External(folder.external(std::mem::take(&mut proto.external_data), need)?)
    } else if dtype == DataType::String {
        Data::Strings(std::mem::take(&mut proto.string_data))
    } else {
        Data::Bytes(match proto.raw_data.take() {
            Some(bytes) if !bytes.is_empty() => bytes,
            _ => typed(dtype, &mut proto),
        })
    };
    check(&tensor)?;
    tensor.carry = pack(&proto);
    Ok(tensor)
}

fn check(tensor: &Tensor) -> Result<()> {
    match &tensor.data {
        Data::Strings(strings) => {
            let count = |n: usize, &d: &i64| n.checked_mul(usize::try_from(d).ok()?);
            match tensor.dims.iter().try_fold(1, count) {
                Some(need) if need == strings.len() => Ok(()),
                _ => Err(Error::unreadable(format!(
                    "the tensor has {} strings, its dimensions are {:?}",
                    strings.len(),
                    tensor.dims
                ))),
            }
        }
        Data::External(_) if tensor.dtype == DataType::String => {
            Err(Error::unreadable("strings cannot be external data"))
        }
        _ => tensor.whole_bytes().map(drop),
    }
}

/// The elements of the typed field for `dtype` as little-endian bytes.
///
/// Elements below 32 bits stand in `int32_data`; those below 8 bits are packed there as in
/// `raw_data`, a byte an entry.
fn typed(dtype: DataType, proto: &mut TensorProto) -> Bytes {
    use DataType::*;
    let bytes: Vec<u8> = match dtype {
        F32 | C64 => little(&mut proto.float_data, f32::to_le_bytes),
        F64 | C128 => little(&mut proto.double_data, f64::to_le_bytes),
        I64 => little(&mut proto.int64_data, i64::to_le_bytes),
        U64 => little(&mut proto.uint64_data, u64::to_le_bytes),
        U32 => little(&mut proto.uint64_data, |v| (v as u32).to_le_bytes()),
        I32 => little(&mut proto.int32_data, i32::to_le_bytes),
        I16 | U16 | F16 | BF16 => little(&mut proto.int32_data, |v| (v as u16).to_le_bytes()),
        _ => little(&mut proto.int32_data, |v| [v as u8]),
    };
    bytes.into()
}

fn little<T, const N: usize>(field: &mut Vec<T>, to: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    std::mem::take(field).into_iter().flat_map(to).collect()
}

/// The message for `tensor`; `placer`, where given, decides whether its elements go outside.
pub fn emit(
    tensor: &Tensor,
    name: Option<&str>,
    placer: Option<&mut Placer>,
) -> Result<TensorProto> {
    let mut proto: TensorProto = unpack(tensor.carry.clone())?;
    proto.dims = tensor.dims.clone();
    proto.data_type = Some(tensor.dtype as i32);
    if let Some(name) = name {
        proto.name = Some(name.to_owned());
    }
    if let Data::Strings(strings) = &tensor.data {
        proto.string_data = strings.clone();
        return Ok(proto);
    }
    let place = match placer {
        Some(placer) => placer.place(tensor)?,
        None => None,
    };
    match place {
        None => proto.raw_data = Some(tensor.bytes().clone()),
        Some(entries) => {
            proto.external_data = entries;
            proto.data_location = Some(DataLocation::External as i32);
        }
    }
    Ok(proto)
}
