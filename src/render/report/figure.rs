//! Pictures and maps in the page.

use std::fmt::Write;
use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, Rgb, RgbImage};
use ndarray::ArrayViewD;

use super::bytes::base64;
use super::html::{escaped, number};
use super::{Map, Row};
use crate::error::{Error, Result};

/// Pictures up to this side are kept exactly and enlarged pixel by pixel.
const SMALL: u32 = 96;
const QUALITY: u8 = 88;

/// A picture `[1 or 3, h, w]` in 0 ..= 1 as an image element.
pub fn photograph(pixels: ArrayViewD<'_, f64>, name: &str) -> Result<String> {
    let byte = |v: f64| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
    let image = match *pixels.shape() {
        [c @ (1 | 3), h, w] => RgbImage::from_fn(w as u32, h as u32, |x, y| {
            Rgb([0, 1, 2].map(|k| byte(pixels[[k.min(c - 1), y as usize, x as usize]])))
        }),
        _ => return Err(Error::internal(format!("{:?} is no picture", pixels.shape()))),
    };
    let small = image.width().max(image.height()) <= SMALL;
    let mut bytes = Cursor::new(Vec::new());
    let encoded = match small {
        true => image.write_to(&mut bytes, ImageFormat::Png),
        false => image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY)),
    };
    encoded.map_err(|e| Error::internal(format!("a picture cannot be encoded: {e}")))?;
    Ok(format!(
        "<img class=\"picture{}\" width=\"{}\" height=\"{}\" alt=\"{}\" src=\"data:image/{};base64,{}\">",
        if small { " cells" } else { "" },
        image.width(),
        image.height(),
        escaped(name),
        if small { "png" } else { "jpeg" },
        base64(bytes.get_ref())
    ))
}

/// Maps in rows, each with its scale and caption underneath.
pub fn maps(rows: &[Row], clip: Option<f64>) -> Result<String> {
    let most = rows.iter().map(|row| row.maps.len()).max().unwrap_or(1).max(1);
    let mut html = format!("<div class=\"maps\" style=\"--columns:{most}\">\n");
    for row in rows {
        html.push_str("<div class=\"row\">\n");
        if let Some(label) = &row.label {
            let boxed = if row.boxed { " boxed" } else { "" };
            let _ = writeln!(html, "<p class=\"label{boxed}\"><span>{}</span></p>", escaped(label));
        }
        html.push_str("<div class=\"cells\">\n");
        for map in &row.maps {
            html.push_str(&figure(map, row.label.as_deref(), clip)?);
        }
        html.push_str("</div>\n</div>\n");
    }
    html.push_str("</div>\n");
    Ok(html)
}

fn figure(map: &Map, label: Option<&str>, clip: Option<f64>) -> Result<String> {
    let (height, width) = map.plane.dim();
    let (limit, shown) = (map.limit(), map.shown(clip));
    let end = number(shown, 3);
    let scale = match shown > 0.0 {
        true => format!("<div class=\"scale\"><span>−{end}</span><i></i><span>+{end}</span></div>"),
        false => "<div class=\"scale none\">all zero</div>".to_owned(),
    };
    let alt = label.map_or(map.title.clone(), |label| format!("{label}: {}", map.title));
    Ok(format!(
        "<figure><div class=\"frame\"><img class=\"map\" width=\"{width}\" height=\"{height}\" \
         alt=\"{}, from −{end} to +{end}\" data-limit=\"{limit:e}\" src=\"{}\"></div>{scale}\
         <figcaption><b>{}</b> {}</figcaption></figure>\n",
        escaped(&alt),
        map.uri(clip)?,
        escaped(&map.title),
        escaped(&map.note)
    ))
}

#[cfg(test)]
mod tests {
    use ndarray::Array;

    use super::*;

    #[test]
    fn small_pictures_are_kept_exactly() {
        let small = photograph(Array::zeros(&[1, 28, 28][..]).view(), "a \"b\"").unwrap();
        assert!(small.contains("image/png") && small.contains("a &quot;b&quot;"));
        assert!(small.contains("picture cells"));
        let large = photograph(Array::zeros(&[3, 8, 200][..]).view(), "").unwrap();
        assert!(large.contains("image/jpeg") && large.contains("width=\"200\" height=\"8\""));
        assert!(photograph(Array::zeros(&[2, 8, 8][..]).view(), "").is_err());
    }
}
