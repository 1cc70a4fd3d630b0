//! What `--preprocess` says about turning pixels into a model's input.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The order of a picture's channels in the model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Luma alone.
    Grey,
}

/// The order of the axes of a model's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// Sample, channel, row, column.
    #[default]
    Nchw,
    /// Sample, row, column, channel.
    Nhwc,
}

/// How a picture is resized before it is cropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side gets this length and the picture keeps its proportions.
    Shorter(u32),
    /// Height and width become these.
    Exact(u32, u32),
}

/// The steps from a picture to a model's input: resize, crop at the centre, order the channels, and
/// then for every value v in 0 ..= 255: (v · scale − mean) / std, mean and std a number for each
/// channel in the model's order, or one for all.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// Subtracted after scaling.
    pub mean: Vec<f64>,
    /// Divided by at last.
    pub std: Vec<f64>,
    /// Multiplied with first.
    pub scale: f64,
    /// The order of the axes.
    pub layout: Layout,
    /// The order of the channels; by default RGB, or grey where the model takes one channel.
    pub channels: Option<Channels>,
    /// How pictures are resized.
    pub resize: Option<Resize>,
    /// Height and width of what is cut from the centre.
    pub crop: Option<(u32, u32)>,
}

impl Default for Preprocess {
    fn default() -> Self {
        Self {
            mean: vec![0.0],
            std: vec![1.0],
            scale: 1.0,
            layout: Layout::Nchw,
            channels: None,
            resize: None,
            crop: None,
        }
    }
}

impl Preprocess {
    /// The settings called `name`: `imagenet`, `caffe`, `tf` or `inception`, `unit`.
    pub fn preset(name: &str) -> Option<Self> {
        let scaled = Self { scale: 1.0 / 255.0, ..Self::default() };
        Some(match name {
            "unit" => scaled,
            "imagenet" => Self {
                mean: vec![0.485, 0.456, 0.406],
                std: vec![0.229, 0.224, 0.225],
                channels: Some(Channels::Rgb),
                ..scaled
            },
            "caffe" => Self {
                mean: vec![104.0, 117.0, 123.0],
                channels: Some(Channels::Bgr),
                ..Self::default()
            },
            "tf" | "inception" => Self { scale: 1.0 / 127.5, mean: vec![1.0], ..Self::default() },
            _ => return None,
        })
    }

    fn set(&mut self, key: &str, values: &[&str]) -> Result<()> {
        let [first, rest @ ..] = values else { return Err(bad(key, "", "a value")) };
        if !rest.is_empty() && !matches!(key, "mean" | "std") {
            return Err(bad(key, &values.join(","), "one value"));
        }
        let wrong = |wanted| bad(key, first, wanted);
        match key {
            "mean" => self.mean = values.iter().map(|v| number(key, v)).collect::<Result<_>>()?,
            "std" => {
                self.std = values.iter().map(|v| number(key, v)).collect::<Result<_>>()?;
                if self.std.contains(&0.0) {
                    return Err(wrong("numbers other than 0"));
                }
            }
            "scale" => self.scale = number(key, first)?,
            "layout" => {
                self.layout = match *first {
                    "nchw" => Layout::Nchw,
                    "nhwc" => Layout::Nhwc,
                    _ => return Err(wrong("nchw or nhwc")),
                }
            }
            "channels" => {
                self.channels = Some(match *first {
                    "rgb" => Channels::Rgb,
                    "bgr" => Channels::Bgr,
                    "gray" | "grey" => Channels::Grey,
                    _ => return Err(wrong("rgb, bgr or gray")),
                });
            }
            "resize" => {
                self.resize = Some(match size(first) {
                    Some((shorter, None)) => Resize::Shorter(shorter),
                    Some((height, Some(width))) => Resize::Exact(height, width),
                    None => return Err(wrong("the shorter side or HEIGHTxWIDTH")),
                });
            }
            "crop" => {
                let (height, width) = size(first).ok_or_else(|| wrong("a side or HEIGHTxWIDTH"))?;
                self.crop = Some((height, width.unwrap_or(height)));
            }
            _ => return Err(unknown(key)),
        }
        Ok(())
    }
}

impl fmt::Display for Preprocess {
    /// The settings in full, as they are typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        write!(f, "scale={},mean={},std={}", self.scale, list(&self.mean), list(&self.std))?;
        f.write_str(match self.layout {
            Layout::Nchw => ",layout=nchw",
            Layout::Nhwc => ",layout=nhwc",
        })?;
        f.write_str(match self.channels {
            None => "",
            Some(Channels::Rgb) => ",channels=rgb",
            Some(Channels::Bgr) => ",channels=bgr",
            Some(Channels::Grey) => ",channels=gray",
        })?;
        match self.resize {
            None => {}
            Some(Resize::Shorter(side)) => write!(f, ",resize={side}")?,
            Some(Resize::Exact(height, width)) => write!(f, ",resize={height}x{width}")?,
        }
        match self.crop {
            None => Ok(()),
            Some((height, width)) => write!(f, ",crop={height}x{width}"),
        }
    }
}

impl FromStr for Preprocess {
    type Err = Error;

    /// Reads `caffe,resize=256,crop=224` or `mean=0.485,0.456,0.406,scale=1/255`: a preset may come
    /// first, and a list goes on until the next key.
    fn from_str(text: &str) -> Result<Self> {
        let mut made = Self::default();
        let mut settings: Vec<(&str, Vec<&str>)> = Vec::new();
        for (index, word) in text.split(',').map(str::trim).enumerate() {
            match (word.split_once('='), settings.last_mut()) {
                (Some((key, value)), _) => settings.push((key.trim(), vec![value.trim()])),
                (None, Some((_, values))) => values.push(word),
                (None, None) if index == 0 => {
                    made = Self::preset(word).ok_or_else(|| unknown(word))?;
                }
                (None, None) => return Err(unknown(word)),
            }
        }
        settings.iter().try_for_each(|(key, values)| made.set(key, values))?;
        Ok(made)
    }
}

/// A finite number, or the quotient of two such as `1/255`.
fn number(key: &str, text: &str) -> Result<f64> {
    let parse = |part: &str| part.trim().parse::<f64>().ok();
    let value = match text.split_once('/') {
        Some((above, below)) => parse(above).zip(parse(below)).map(|(a, b)| a / b),
        None => parse(text),
    };
    value.filter(|v| v.is_finite()).ok_or_else(|| bad(key, text, "a number such as 0.5 or 1/255"))
}

/// `224` or `224x320`, no side 0 or beyond what any model takes.
fn size(text: &str) -> Option<(u32, Option<u32>)> {
    let side = |part: &str| part.parse().ok().filter(|side| (1..=16384).contains(side));
    match text.split_once('x') {
        Some((height, width)) => Some((side(height)?, Some(side(width)?))),
        None => Some((side(text)?, None)),
    }
}

fn bad(key: &str, value: &str, wanted: &str) -> Error {
    Error::request(format!("'{value}' is no setting for '{key}' of --preprocess"))
        .help(format!("'{key}' takes {wanted}"))
}

fn unknown(word: &str) -> Error {
    Error::request(format!("--preprocess does not know '{word}'")).help(
        "start with a preset (imagenet, caffe, tf, inception, unit) or use mean=…, std=…, scale=…, \
         layout=nchw|nhwc, channels=rgb|bgr|gray, resize=…, crop=…, separated by commas",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Preprocess {
        text.parse().unwrap()
    }

    #[test]
    fn settings_are_read() {
        let made = parse("mean=0.485,0.456, 0.406,std=2,scale=1/255,layout=nhwc,channels=bgr");
        assert_eq!(made.mean, [0.485, 0.456, 0.406]);
        assert_eq!((made.std, made.scale), (vec![2.0], 1.0 / 255.0));
        assert_eq!((made.layout, made.channels), (Layout::Nhwc, Some(Channels::Bgr)));
        let made = parse("resize=256,crop=224");
        assert_eq!((made.resize, made.crop), (Some(Resize::Shorter(256)), Some((224, 224))));
        let made = parse("resize=20x30,crop=10x12");
        assert_eq!((made.resize, made.crop), (Some(Resize::Exact(20, 30)), Some((10, 12))));
    }

    #[test]
    fn presets_come_first_and_can_be_changed() {
        for name in ["imagenet", "caffe", "tf", "unit"] {
            assert_eq!(Some(parse(name)), Preprocess::preset(name));
        }
        let made = parse("caffe,crop=224,channels=rgb");
        assert_eq!((made.mean, made.channels), (vec![104.0, 117.0, 123.0], Some(Channels::Rgb)));
    }

    #[test]
    fn settings_are_written_as_they_are_read() {
        for text in
            ["unit", "imagenet,resize=256,crop=224", "caffe,layout=nhwc", "resize=2x3,std=2"]
        {
            let made = parse(text);
            assert_eq!(parse(&made.to_string()), made, "{made}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let cases = [
            ("", "does not know ''"),
            ("caffee", "start with a preset"),
            ("mean=a", "'a' is no setting for 'mean'"),
            ("mean=1/0", "'1/0' is no setting"),
            ("mean=1,caffe", "'caffe' is no setting for 'mean'"),
            ("std=0", "other than 0"),
            ("scale=1,2", "one value"),
            ("crop=0", "HEIGHTxWIDTH"),
            ("crop=99999999", "HEIGHTxWIDTH"),
            ("resize=x", "HEIGHTxWIDTH"),
            ("layout=chw", "nchw or nhwc"),
            ("channels=4", "rgb, bgr or gray"),
            ("colour=red", "does not know 'colour'"),
        ];
        for (text, told) in cases {
            let error = text.parse::<Preprocess>().unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
