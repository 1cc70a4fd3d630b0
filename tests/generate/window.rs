//! Windows with every form of padding.

use slpc::graph::Attr;

use super::Random;

/// The windows of a convolution or pooling.
pub struct Window {
    pub kernel: Vec<i64>,
    pub strides: Vec<i64>,
    pub dilations: Vec<i64>,
    pub pads: Vec<i64>,
    pub auto_pad: &'static str,
    pub ceil: bool,
    /// The extents that come out.
    pub dims: Vec<usize>,
}

impl Window {
    /// A window that fits the extents behind the channels; none where the extents are too small.
    pub fn fit(random: &mut Random, extents: &[usize], pool: bool) -> Option<Self> {
        let auto_pad = random.pick(&["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]);
        let ceil = pool && auto_pad == "NOTSET" && random.one_in(2);
        let mut window = Self {
            kernel: vec![],
            strides: vec![],
            dilations: vec![],
            pads: vec![0; 2 * extents.len()],
            auto_pad,
            ceil,
            dims: vec![],
        };
        for (axis, &extent) in extents.iter().enumerate() {
            let kernel = random.between(1, 3.min(extent));
            let stride = random.between(1, 3);
            // Runtimes disagree on what auto_pad means beside dilations in pooling.
            let dilated = random.one_in(4) && (!pool || auto_pad == "NOTSET");
            let dilation = if dilated { 2 } else { 1 };
            let reach = (kernel - 1) * dilation + 1;
            let out = match auto_pad {
                "SAME_UPPER" | "SAME_LOWER" => extent.div_ceil(stride),
                _ => {
                    // A window that saw nothing but padding would have no winner.
                    let most = if auto_pad == "NOTSET" { kernel - 1 } else { 0 };
                    let (begin, end) = (random.between(0, most), random.between(0, most));
                    window.pads[axis] = begin as i64;
                    window.pads[axis + extents.len()] = end as i64;
                    let rest = (extent + begin + end).checked_sub(reach)?;
                    let out = if ceil { rest.div_ceil(stride) } else { rest / stride } + 1;
                    // ONNX drops a last window that would begin in the padding at the end.
                    if ceil && (out - 1) * stride >= extent + begin { out - 1 } else { out }
                }
            };
            if pool && dilation > 1 && extent < reach {
                return None;
            }
            window.kernel.push(kernel as i64);
            window.strides.push(stride as i64);
            window.dilations.push(dilation as i64);
            window.dims.push(out);
        }
        Some(window)
    }

    /// The attributes called `wanted`, and the padding.
    pub fn attributes(&self, wanted: &[&'static str]) -> Vec<(&'static str, Attr)> {
        let mut list: Vec<(&'static str, Attr)> = wanted
            .iter()
            .map(|&name| {
                let value = match name {
                    "kernel_shape" => self.kernel.clone().into(),
                    "strides" => self.strides.clone().into(),
                    "dilations" => self.dilations.clone().into(),
                    _ => i64::from(self.ceil).into(),
                };
                (name, value)
            })
            .collect();
        list.push(match self.auto_pad {
            "NOTSET" => ("pads", self.pads.clone().into()),
            mode => ("auto_pad", mode.into()),
        });
        list
    }
}
