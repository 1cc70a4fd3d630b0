//! Normalisation, recurrence, attention, losses, regions, signal processing and random numbers.

use rten_shape_inference::ops;

use super::cx::Cx;
use super::dim::{num, number};
use super::elementwise::shape_of;
use super::layout::{like, show};
use super::window::unknown;
use crate::error::{Error, Result};
use crate::graph::{Dim, Facts};

/// `BatchNormalization`: the output and the running statistics.
pub fn batch_normalization(cx: &mut Cx) -> Result<Vec<Facts>> {
    Ok(vec![like(cx, 0)?, like(cx, 3)?, like(cx, 4)?])
}

/// `LayerNormalization`: the output, and mean and deviation with the normalised axes kept as 1.
pub fn layer_normalization(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(mut dims) = cx.dims(0)? else {
        return Ok(vec![Facts::unknown("the input's shape is unknown"); 3]);
    };
    let whole = Facts::from_shape(dims.clone());
    let axis = cx.axis("axis", -1, dims.len())?;
    dims[axis..].fill(num(1));
    let statistics = Facts::from_shape(dims);
    Ok(vec![whole, statistics.clone(), statistics])
}

/// `SimplifiedLayerNormalization`: the output, and the deviation with the normalised axes kept as 1.
pub fn simplified_layer_normalization(cx: &mut Cx) -> Result<Vec<Facts>> {
    layer_normalization(cx).map(|mut facts| {
        facts.truncate(2);
        facts
    })
}

/// `RNN`, `GRU` and `LSTM`: all hidden states, the last one, and for `LSTM` the last cell.
pub fn recurrent(cx: &mut Cx) -> Result<Vec<Facts>> {
    let directions = match cx.node.text("direction")?.unwrap_or("forward") {
        "forward" | "reverse" => num(1),
        "bidirectional" => num(2),
        other => return Err(Error::unreadable(format!("'direction' is {other:?}"))),
    };
    let batch_first = cx.flag("layout", false)?;
    let (steps, batch, width) = match cx.dims(0)?.as_deref() {
        None => (cx.fresh(), cx.fresh(), cx.fresh()),
        Some([batch, steps, width]) if batch_first => (steps.clone(), batch.clone(), width.clone()),
        Some([steps, batch, width]) => (steps.clone(), batch.clone(), width.clone()),
        Some(dims) => {
            return Err(Error::unreadable(format!(
                "the input has rank {}, 3 is needed",
                dims.len()
            )));
        }
    };
    // The recurrence weights are [directions, gates · hidden, hidden].
    let hidden = match (cx.node.int("hidden_size")?, cx.dims(2)?.as_deref()) {
        (Some(size), _) => num(size),
        (None, Some([_, _, hidden])) => hidden.clone(),
        _ => cx.fresh(),
    };
    check_gates(cx, 1, [&directions, &hidden, &width])?;
    check_gates(cx, 2, [&directions, &hidden, &hidden])?;
    let (all, last) = match batch_first {
        true => (
            vec![batch.clone(), steps, directions.clone(), hidden.clone()],
            vec![batch, directions, hidden],
        ),
        false => (
            vec![steps, directions.clone(), batch.clone(), hidden.clone()],
            vec![directions, batch, hidden],
        ),
    };
    let last = Facts::from_shape(last);
    Ok(vec![Facts::from_shape(all), last.clone(), last])
}

/// Checks that the weights are `[directions, gates · hidden, what they multiply]`.
fn check_gates(cx: &Cx, index: usize, [directions, hidden, width]: [&Dim; 3]) -> Result<()> {
    let gates = match cx.node.op.as_str() {
        "LSTM" => 4,
        "GRU" => 3,
        _ => 1,
    };
    let Some(dims) = cx.dims(index)? else { return Ok(()) };
    let wanted =
        [number(directions), number(hidden).and_then(|n| n.checked_mul(gates)), number(width)];
    let differs = |(dim, wanted): (&Dim, &Option<i64>)| {
        number(dim).zip(*wanted).is_some_and(|(dim, wanted)| dim != wanted)
    };
    if dims.len() != 3 || dims.iter().zip(&wanted).any(differs) {
        return Err(Error::unreadable(format!(
            "input {index} has the shape {}, [{directions}, {gates}·{hidden}, {width}] is needed",
            show(&dims)
        )));
    }
    Ok(())
}

/// `Attention`: output, present key and value, and the scores.
pub fn attention(cx: &mut Cx) -> Result<Vec<Facts>> {
    let heads = |name: &str| -> Result<Option<u32>> {
        cx.node
            .int(name)?
            .map(|n| u32::try_from(n).map_err(|_| Error::unreadable(format!("'{name}' is {n}"))))
            .transpose()
    };
    let op =
        ops::Attention { q_num_heads: heads("q_num_heads")?, kv_num_heads: heads("kv_num_heads")? };
    let q_heads = op.q_num_heads;
    let mut outs = cx.apply(op, &[0, 1, 2, 3, 4, 5, 6])?;
    let scores = match (cx.dims(0)?.as_deref(), outs.get(1).and_then(|k| k.size(2))) {
        (Some([batch, steps, _]), Some(total)) => {
            q_heads.map(|heads| vec![batch.clone(), num(heads.into()), steps.clone(), total])
        }
        (Some([batch, heads, steps, _]), Some(total)) => {
            Some(vec![batch.clone(), heads.clone(), steps.clone(), total])
        }
        _ => None,
    };
    outs.push(
        scores.map_or_else(|| Facts::unknown("the scores' shape is unknown"), Facts::from_shape),
    );
    Ok(outs)
}

/// `NegativeLogLikelihoodLoss` and `SoftmaxCrossEntropyLoss`.
pub fn loss(cx: &mut Cx) -> Result<Vec<Facts>> {
    let loss = match cx.node.text("reduction")?.unwrap_or("mean") {
        "none" => like(cx, 1)?,
        _ => Facts::from_shape(vec![]),
    };
    Ok(vec![loss, like(cx, 0)?])
}

/// `MaxRoiPool` and `RoiAlign`: one map for each region, of the size that `size` reads.
pub fn regions(cx: &mut Cx, size: [i64; 2]) -> Result<Vec<Facts>> {
    let channels = match cx.dims(0)?.as_deref() {
        Some([_, channels, _, _]) => channels.clone(),
        _ => cx.fresh(),
    };
    let count = match cx.dims(1)?.as_deref() {
        Some([count, _]) => count.clone(),
        _ => cx.fresh(),
    };
    Ok(vec![Facts::from_shape([vec![count, channels], size.map(num).into()].concat())])
}

/// `MaxRoiPool`.
pub fn max_roi_pool(cx: &mut Cx) -> Result<Vec<Facts>> {
    match cx.node.ints("pooled_shape")? {
        Some(&[h, w]) => regions(cx, [h, w]),
        other => Err(Error::unreadable(format!("'pooled_shape' is {other:?}"))),
    }
}

/// `RoiAlign`.
pub fn roi_align(cx: &mut Cx) -> Result<Vec<Facts>> {
    let size = [cx.int("output_height", 1)?, cx.int("output_width", 1)?];
    regions(cx, size)
}

/// `AffineGrid`: a coordinate tuple for each point of the image that input 1 describes.
pub fn affine_grid(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(rank) = cx.vector_len(1).filter(|n| matches!(n, 4 | 5)) else { return unknown() };
    let size = cx.values(1).unwrap_or_else(|| cx.symbols.gen_shape(rank));
    let [batch, _, spatial @ ..] = &size[..] else { return unknown() };
    let tuple = num(rank as i64 - 2);
    Ok(vec![Facts::from_shape([std::slice::from_ref(batch), spatial, &[tuple]].concat())])
}

/// `Det` of stacked matrices.
pub fn determinant(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(mut dims) = cx.dims(0)? else { return unknown() };
    let rank =
        dims.len().checked_sub(2).ok_or_else(|| Error::unreadable("the input is no matrix"))?;
    dims.truncate(rank);
    Ok(vec![Facts::from_shape(dims)])
}

/// `DFT`, whose axis is an attribute before operator set 20.
pub fn dft(cx: &mut Cx) -> Result<Vec<Facts>> {
    let op =
        ops::DFT { inverse: cx.flag("inverse", false)?, onesided: cx.flag("onesided", false)? };
    if cx.opset >= 20 {
        return cx.apply(op, &[0, 1, 2]);
    }
    let axis = Facts::from_scalar(num(cx.int("axis", 1)?));
    let inputs = [Some(cx.require(0)?.clone()), cx.facts(1).cloned(), Some(axis)];
    cx.apply_to(op, &inputs)
}

/// `STFT`.
pub fn stft(cx: &mut Cx) -> Result<Vec<Facts>> {
    let onesided = cx.flag("onesided", true)?;
    cx.apply(ops::STFT { onesided }, &[0, 1, 2, 3])
}

/// `MelWeightMatrix`: spectrogram bins by mel bins.
pub fn mel_weight_matrix(cx: &mut Cx) -> Result<Vec<Facts>> {
    let scalar = |cx: &mut Cx, i| match cx.values(i).as_deref() {
        Some([n]) => n.clone(),
        _ => cx.symbols.gen_positive(),
    };
    let (bins, length) = (scalar(cx, 0), scalar(cx, 1));
    Ok(vec![Facts::from_shape(vec![length / num(2) + num(1), bins])])
}

/// `HannWindow` and its like: a vector as long as input 0 says.
pub fn window_function(cx: &mut Cx) -> Result<Vec<Facts>> {
    let size = match cx.values(0).as_deref() {
        Some([n]) => n.clone(),
        _ => cx.fresh(),
    };
    Ok(vec![Facts::from_shape(vec![size])])
}

/// `RandomNormal` and `RandomUniform`.
pub fn random(cx: &mut Cx) -> Result<Vec<Facts>> {
    let shape = cx.node.ints("shape")?.unwrap_or_default();
    Ok(vec![Facts::from_shape(shape.iter().map(|&n| num(n)).collect())])
}

/// `Multinomial`.
pub fn multinomial(cx: &mut Cx) -> Result<Vec<Facts>> {
    let count = num(cx.int("sample_size", 1)?);
    let batch = cx.require(0)?.size(0).unwrap_or_else(|| cx.symbols.gen_positive());
    Ok(vec![Facts::from_shape(vec![batch, count])])
}

/// `DynamicQuantizeLinear`: the output, its scale and zero point.
pub fn dynamic_quantize(cx: &mut Cx) -> Result<Vec<Facts>> {
    cx.apply(ops::DynamicQuantizeLinear, &[0])
}

/// `TfIdfVectorizer`: the last axis becomes the number of n-grams.
pub fn tf_idf(cx: &mut Cx) -> Result<Vec<Facts>> {
    let width = cx.node.ints("ngram_indexes")?.and_then(|list| list.iter().max());
    let width = width.map_or_else(|| cx.symbols.gen_positive(), |&n| num(n.saturating_add(1)));
    let Some(mut dims) = cx.dims(0)? else { return unknown() };
    dims.pop();
    dims.push(width);
    Ok(vec![Facts::from_shape(dims)])
}

/// `StringSplit`: the pieces on a new last axis, and how many there are.
pub fn string_split(cx: &mut Cx) -> Result<Vec<Facts>> {
    let counts = shape_of(cx.require(0)?);
    let Some(mut dims) = cx.dims(0)? else { return Ok(vec![counts.clone(), counts]) };
    dims.push(cx.fresh());
    Ok(vec![Facts::from_shape(dims), counts])
}

/// `StringNormalizer`: stop words leave the last axis.
pub fn string_normalizer(cx: &mut Cx) -> Result<Vec<Facts>> {
    let Some(mut dims) = cx.dims(0)? else { return unknown() };
    if let Some(last) = dims.last_mut() {
        *last = cx.fresh();
    }
    Ok(vec![Facts::from_shape(dims)])
}

/// `ImageDecoder`: height, width, channels.
pub fn image_decoder(cx: &mut Cx) -> Result<Vec<Facts>> {
    let channels = match cx.node.text("pixel_format")?.unwrap_or("RGB") {
        "Grayscale" => 1,
        _ => 3,
    };
    Ok(vec![Facts::from_shape(vec![cx.fresh(), cx.fresh(), num(channels)])])
}

/// `CausalConvWithState`: the output, and the last inputs the kernel still reaches.
pub fn causal_conv(cx: &mut Cx) -> Result<Vec<Facts>> {
    let out = like(cx, 0)?;
    let state = match (cx.dims(0)?.as_deref(), cx.dims(1)?.as_deref()) {
        (Some([batch, channels, _]), Some([.., kernel])) => {
            Facts::from_shape(vec![batch.clone(), channels.clone(), kernel.clone() - num(1)])
        }
        _ => Facts::unknown("an input's shape is unknown"),
    };
    Ok(vec![out, state])
}

/// `LinearAttention`: the output, and the state [batch, heads, key size, value size].
pub fn linear_attention(cx: &mut Cx) -> Result<Vec<Facts>> {
    let heads = [cx.int("q_num_heads", 0)?, cx.int("kv_num_heads", 0)?];
    let shapes = [cx.dims(0)?, cx.dims(1)?, cx.dims(2)?];
    let [Some(query), Some(key), Some(value)] = &shapes else {
        return Ok(vec![Facts::unknown("an input's shape is unknown"); 2]);
    };
    let ([batch, steps, _], [_, _, key], [_, _, value]) = (&query[..], &key[..], &value[..]) else {
        return Err(Error::unreadable("query, key and value need rank 3"));
    };
    let [queries, heads] = heads.map(num);
    let (key, value) = (key.clone() / heads.clone(), value.clone() / heads.clone());
    Ok(vec![
        Facts::from_shape(vec![batch.clone(), steps.clone(), queries * value.clone()]),
        Facts::from_shape(vec![batch.clone(), heads, key, value]),
    ])
}
