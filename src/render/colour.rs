//! The diverging colours of heatmaps: blue below zero, white at zero, red above.

use image::Rgb;

/// The colour of `t` in −1 ..= 1 (clamped; NaN is grey).
///
/// Both arms have the same lightness at the same |t|, which falls evenly from white: made in Oklab
/// (Ottosson, 2020), whose lightness and hue follow perception.
pub fn diverging(t: f64) -> Rgb<u8> {
    if t.is_nan() {
        return Rgb([128; 3]);
    }
    let (size, hue) = (t.abs().min(1.0), if t > 0.0 { 27.0 } else { 258.0_f64 });
    let lightness = 1.0 - 0.6 * size;
    let chroma = 0.29 * size * (1.0 - 0.45 * size);
    let (sin, cos) = hue.to_radians().sin_cos();
    Rgb(srgb(lightness, chroma * cos, chroma * sin))
}

/// Oklab to the nearest sRGB bytes.
fn srgb(lightness: f64, a: f64, b: f64) -> [u8; 3] {
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    let linear = [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ];
    linear.map(|v| {
        let v = v.clamp(0.0, 1.0);
        let v = if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 };
        (v * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(Rgb(rgb): Rgb<u8>) -> f64 {
        let [r, g, b] = rgb.map(|v| (f64::from(v) / 255.0).powf(2.2));
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    #[test]
    fn zero_is_exactly_white_and_the_sign_shows() {
        assert_eq!(diverging(0.0), Rgb([255; 3]));
        assert_eq!(diverging(-0.0), Rgb([255; 3]));
        for t in [0.02, 0.3, 0.7, 1.0, 9.0] {
            let (Rgb([r, _, b]), Rgb([cold_r, _, cold_b])) = (diverging(t), diverging(-t));
            assert!(r > b && cold_b > cold_r, "{t}");
        }
        assert_eq!(diverging(f64::NAN), Rgb([128; 3]));
    }

    #[test]
    fn luminance_falls_with_magnitude_and_alike_on_both_sides() {
        let mut last = 1.1;
        for step in 0..=50 {
            let t = f64::from(step) / 50.0;
            let (warm, cold) = (luminance(diverging(t)), luminance(diverging(-t)));
            assert!((warm - cold).abs() < 0.06, "{t}: {warm} {cold}");
            assert!(warm < last, "{t}");
            last = warm;
        }
    }
}
