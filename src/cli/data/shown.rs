//! A model's input back to the picture it was made from.

use ndarray::{ArrayD, ArrayViewD, Axis};

use crate::cli::preprocess::{Channels, Layout, Preprocess};
use crate::error::{Error, Result};

/// The picture that a sample shows, `[1 or 3, h, w]` in 0 ..= 1 with the channels red, green, blue:
/// what `preprocess` did to the values is undone. Without it the values are taken as they are where
/// they lie in 0 ..= 1 or in 0 ..= 255, and else stretched from the least to the largest.
///
/// # Errors
/// When the sample is no picture: `[h, w]`, or with 1 or 3 channels, behind axes of extent 1.
pub fn shown(sample: ArrayViewD<'_, f64>, preprocess: Option<&Preprocess>) -> Result<ArrayD<f64>> {
    let mut picture = sample.to_owned();
    while picture.ndim() > 3 && picture.len_of(Axis(0)) == 1 {
        picture = picture.index_axis_move(Axis(0), 0);
    }
    if picture.ndim() == 2 {
        picture.insert_axis_inplace(Axis(0));
    } else if preprocess.is_some_and(|p| p.layout == Layout::Nhwc) && picture.ndim() == 3 {
        picture = picture.permuted_axes(vec![2, 0, 1]);
    }
    if !matches!(picture.shape(), [1 | 3, _, _]) || picture.is_empty() {
        let what = format!("an input of shape {:?} is no picture", sample.shape());
        return Err(Error::request(what).help(
            "a report shows inputs of 1 or 3 channels, height and width; name the layout where it \
             is nhwc: --preprocess layout=nhwc",
        ));
    }
    match preprocess {
        Some(preprocess) => undo(&mut picture, preprocess),
        None => stretch(&mut picture),
    }
    Ok(picture)
}

/// From `(v · scale − mean) / std` to v / 255.
fn undo(picture: &mut ArrayD<f64>, preprocess: &Preprocess) {
    let of = |list: &[f64], channel: usize| list.get(channel).or(list.first()).copied();
    for (channel, mut plane) in picture.axis_iter_mut(Axis(0)).enumerate() {
        let mean = of(&preprocess.mean, channel).unwrap_or(0.0);
        let std = of(&preprocess.std, channel).unwrap_or(1.0);
        let scale = if preprocess.scale == 0.0 { 1.0 } else { preprocess.scale };
        plane.mapv_inplace(|v| ((v * std + mean) / scale / 255.0).clamp(0.0, 1.0));
    }
    if preprocess.channels == Some(Channels::Bgr) && picture.len_of(Axis(0)) == 3 {
        picture.invert_axis(Axis(0));
    }
}

fn stretch(picture: &mut ArrayD<f64>) {
    let least = picture.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = picture.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (from, to) = match () {
        () if least >= 0.0 && largest <= 1.0 => (0.0, 1.0),
        () if least >= 0.0 && largest <= 255.0 => (0.0, 255.0),
        () if largest > least => (least, largest),
        () => (least - 1.0, least + 1.0),
    };
    picture.mapv_inplace(|v| (v - from) / (to - from));
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, array};

    use super::*;

    fn near(a: &ArrayD<f64>, b: &ArrayD<f64>) -> bool {
        a.shape() == b.shape() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12)
    }

    #[test]
    fn what_was_done_to_the_values_is_undone() {
        let pixels = array![[[255.0, 51.0]], [[0.0, 102.0]], [[127.5, 204.0]]].into_dyn();
        let wanted = &pixels / 255.0;
        for text in ["unit", "tf", "imagenet", "caffe", "scale=2,mean=3,std=4,channels=bgr"] {
            let preprocess: Preprocess = text.parse().unwrap();
            let mut sample = pixels.clone();
            if preprocess.channels == Some(Channels::Bgr) {
                sample.invert_axis(Axis(0));
            }
            super::super::values(&mut sample, 0, &preprocess).unwrap();
            assert!(near(&shown(sample.view(), Some(&preprocess)).unwrap(), &wanted), "{text}");
        }
        let last: Preprocess = "unit,layout=nhwc".parse().unwrap();
        let sample = wanted.view().permuted_axes(vec![1, 2, 0]);
        assert!(near(&shown(sample, Some(&last)).unwrap(), &wanted));
    }

    #[test]
    fn values_of_unknown_making_are_stretched_where_they_must_be() {
        let cases = [
            (array![[0.0, 0.5]], array![[[0.0, 0.5]]]),
            (array![[0.0, 51.0]], array![[[0.0, 0.2]]]),
            (array![[-1.0, 3.0]], array![[[0.0, 1.0]]]),
            (array![[-7.0, -7.0]], array![[[0.5, 0.5]]]),
        ];
        for (sample, wanted) in cases {
            assert_eq!(shown(sample.into_dyn().view(), None).unwrap(), wanted.into_dyn());
        }
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let shape = |shape: &[usize]| shown(Array::zeros(shape).view(), None).map(|_| ());
        assert!(shape(&[1, 1, 3, 4, 5]).is_ok());
        for wrong in [&[7][..], &[2, 4, 4], &[2, 3, 4, 4], &[3, 0, 4]] {
            assert!(shape(wrong).unwrap_err().to_string().contains("is no picture"), "{wrong:?}");
        }
    }
}
