//! Fields of ONNX's messages that the store hands on encoded, and that the text syntax can spell.

use prost::encoding::{decode_varint, encode_varint};

/// A length-delimited field: text, bytes or a message.
pub(super) fn field(tag: u32, contents: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_varint(u64::from(tag) << 3 | 2, &mut out);
    encode_varint(contents.len() as u64, &mut out);
    out.extend_from_slice(contents);
    out
}

/// An integer field.
pub(super) fn number(tag: u32, value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    encode_varint(u64::from(tag) << 3, &mut out);
    encode_varint(value as u64, &mut out);
    out
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Held<'a> {
    Number(i64),
    Bytes(&'a [u8]),
}

impl<'a> Held<'a> {
    /// The contents of text or of a message.
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(_) => &[],
        }
    }

    /// The number, 0 for anything else.
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(_) => 0,
        }
    }
}

/// The fields of `message` in order, up to its end or the first byte that belongs to none.
pub(super) fn fields(mut message: &[u8]) -> impl Iterator<Item = (u32, Held<'_>)> {
    std::iter::from_fn(move || {
        loop {
            let key = decode_varint(&mut message).ok()?;
            let tag = u32::try_from(key >> 3).ok()?;
            match key & 7 {
                0 => return Some((tag, Held::Number(decode_varint(&mut message).ok()? as i64))),
                1 => message = message.get(8..)?,
                5 => message = message.get(4..)?,
                2 => {
                    let len = usize::try_from(decode_varint(&mut message).ok()?).ok()?;
                    let (contents, rest) = message.split_at_checked(len)?;
                    message = rest;
                    return Some((tag, Held::Bytes(contents)));
                }
                _ => return None,
            }
        }
    })
}

/// The contents of the last field `tag` of `message`.
pub(super) fn find(message: &[u8], tag: u32) -> Option<Held<'_>> {
    fields(message).filter(|(t, _)| *t == tag).last().map(|(_, held)| held)
}
