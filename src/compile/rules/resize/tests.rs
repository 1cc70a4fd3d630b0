use crate::compile::rules::testing::{Case, case, long};
use crate::compile::select::{Batch, Choice};
use crate::compile::{LayerRequest, Options, transform};
use crate::graph::{DataType, Tensor};

const KERNELS: [&str; 3] = ["nearest", "linear", "cubic"];
const NEAREST: [&str; 4] = ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"];
const COORDINATES: [&str; 5] =
    ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"];

fn floats(values: &[f64]) -> Tensor {
    Tensor::floats(DataType::F32, vec![values.len() as i64], values)
}

/// All of a list where long grids are asked for, else the first few.
fn some<T>(all: &[T], few: usize) -> &[T] {
    if long() { all } else { &all[..few] }
}

/// tract resizes in single precision.
fn x(dims: &[i64]) -> Case {
    case("Resize").input("x", dims).f32()
}

fn to(x: Case, sizes: &[i64]) -> Case {
    x.skip().skip().ints_input("sizes", sizes)
}

fn by(x: Case, scales: &[f64]) -> Case {
    x.skip().constant("scales", floats(scales))
}

#[test]
fn every_kernel_at_every_coordinate() {
    for coordinates in COORDINATES {
        for kernel in KERNELS {
            for size in [2, 3, 7, 10, 12] {
                let x = to(x(&[1, 1, 5]), &[1, 1, size]).text("mode", kernel);
                x.text("coordinate_transformation_mode", coordinates).check();
            }
        }
    }
}

#[test]
fn every_nearest_element() {
    for coordinates in COORDINATES {
        for nearest in NEAREST {
            for size in [2, 4, 9, 10, 15] {
                let x = to(x(&[2, 5]), &[2, size]).text("nearest_mode", nearest);
                x.text("coordinate_transformation_mode", coordinates).check();
            }
        }
    }
}

/// `x` in double precision; the weights of the reference evaluator's cubic kernel are in single.
fn exact(kernel: &str, dims: &[i64]) -> Case {
    let x = case("Resize").input("x", dims).reference();
    if kernel == "cubic" { x.f32() } else { x }
}

/// The coordinates whose sizes all runtimes read alike.
fn sized(coordinates: &str, x: Case, sizes: &[i64]) -> Case {
    to(x, sizes).text("coordinate_transformation_mode", coordinates)
}

#[test]
fn odd_scales_in_onnx_runtime() {
    let scales = [1.0 / 3.0, 0.7, 2.6, 0.3, 0.5, 0.8, 1.0, 1.3, 1.5, 2.0, 3.0];
    let scales = some(&scales, 3);
    for coordinates in COORDINATES {
        for kernel in KERNELS {
            for &scale in scales {
                let x = by(x(&[1, 1, 3, 7]), &[1.0, 1.0, 2.0, scale]).text("mode", kernel);
                x.text("coordinate_transformation_mode", coordinates).ort().check();
            }
        }
        for nearest in NEAREST {
            for &scale in scales {
                let x = by(x(&[2, 7]), &[1.0, scale]).text("nearest_mode", nearest);
                x.text("coordinate_transformation_mode", coordinates).ort().check();
            }
        }
    }
}

#[test]
fn sizes_that_leave_a_middle_in_onnx_runtime() {
    for &(from, size) in some(&[(7, 2), (20, 6), (7, 4), (7, 8), (6, 2), (3, 4)], 2) {
        for coordinates in COORDINATES {
            for nearest in NEAREST {
                let x = sized(coordinates, x(&[from]), &[size]);
                x.text("nearest_mode", nearest).ort().check();
            }
        }
    }
}

#[test]
fn every_rank_in_double_precision() {
    let shapes: [(&[i64], &[i64]); 5] = [
        (&[4], &[7]),
        (&[3, 4], &[5, 2]),
        (&[2, 3, 2], &[3, 3, 3]),
        (&[1, 2, 3, 4], &[1, 2, 5, 3]),
        (&[1, 1, 2, 3, 2], &[1, 1, 3, 2, 4]),
    ];
    for (dims, sizes) in shapes {
        for kernel in KERNELS {
            for coordinates in ["half_pixel", "align_corners"] {
                let x = sized(coordinates, exact(kernel, dims), sizes);
                x.text("mode", kernel).check();
            }
        }
    }
}

#[test]
fn cubic_weights() {
    for coordinates in COORDINATES {
        for &a in some(&[-0.75, 0.25, -0.5], 2) {
            for exclude in [0, 1] {
                for &size in some(&[2, 9, 4], 2) {
                    let x = sized(coordinates, exact("cubic", &[5]), &[size]);
                    let x = x.text("mode", "cubic").float("cubic_coeff_a", a);
                    x.int("exclude_outside", exclude).check();
                }
            }
        }
    }
}

#[test]
fn antialiasing() {
    for coordinates in COORDINATES {
        for kernel in ["linear", "cubic"] {
            for exclude in [0, 1] {
                for &size in some(&[3, 9, 2, 5], 2) {
                    let x = || sized(coordinates, exact(kernel, &[7]), &[size]);
                    let x = || x().text("mode", kernel).int("exclude_outside", exclude);
                    x().int("antialias", 1).check();
                }
                let x = by(x(&[1, 1, 3, 7]), &[1.0, 1.0, 2.0, 0.3]).int("antialias", 1);
                let x = x.text("coordinate_transformation_mode", coordinates).text("mode", kernel);
                x.int("exclude_outside", exclude).ort().check();
            }
        }
    }
    by(x(&[4]), &[0.5]).int("antialias", 1).refused("antialiasing");
}

/// A crop of `size` elements of 5.
fn crop(x: Case, region: [f64; 2], size: i64) -> Case {
    let x = x.constant("roi", floats(&region)).skip();
    let x = x.ints_input("sizes", &[size]);
    x.text("coordinate_transformation_mode", "tf_crop_and_resize")
}

const REGIONS: [[f64; 2]; 6] =
    [[0.0, 1.0], [0.2, 0.7], [-0.25, 1.25], [1.0, 0.0], [0.5, 1.5], [1.5, 2.5]];

#[test]
fn crops() {
    for region in REGIONS {
        for kernel in KERNELS {
            for size in [1, 3, 7] {
                for value in [0.0, 7.5] {
                    let crop = crop(x(&[5]).reference(), region, size).text("mode", kernel);
                    crop.float("extrapolation_value", value).check();
                }
            }
        }
    }
    let x = x(&[1, 1, 3, 5]).constant("roi", floats(&[0.0, 0.0, 0.2, -0.1, 1.0, 1.0, 0.7, 0.8]));
    let x = x.constant("scales", floats(&[1.0, 1.0, 1.3, 0.7])).text("mode", "linear");
    x.text("coordinate_transformation_mode", "tf_crop_and_resize").ort().check();
}

#[test]
fn chosen_axes() {
    let axes: [&[i64]; 4] = [&[1], &[-1, 1], &[2, 0], &[0, 1, 2]];
    for axes in axes {
        for kernel in KERNELS {
            let sizes: Vec<i64> = axes.iter().map(|a| 4 + a % 2).collect();
            let x = to(x(&[2, 3, 3]), &sizes).ints("axes", axes);
            x.text("mode", kernel).check();
        }
    }
    let x = x(&[2, 3, 4]).constant("roi", floats(&[0.1, 0.9])).skip().ints_input("sizes", &[6]);
    let x = x.ints("axes", &[2]).text("mode", "linear");
    x.text("coordinate_transformation_mode", "tf_crop_and_resize").reference().check();
}

#[test]
fn one_scale_for_every_axis() {
    for policy in ["not_larger", "not_smaller"] {
        for kernel in KERNELS {
            for sizes in [[7, 5], [4, 9], [2, 2], [6, 8]] {
                let x = || to(exact(kernel, &[3, 4]), &sizes).text("mode", kernel);
                x().text("keep_aspect_ratio_policy", policy).check();
            }
        }
    }
}

#[test]
fn sizes_known_at_run_time() {
    for coordinates in COORDINATES {
        for kernel in KERNELS {
            for &size in some(&[2, 9, 4], 2) {
                let x = || exact(kernel, &[2, 5]).dynamic(&["n", "w"]);
                let x = || to(x(), &[size]).ints("axes", &[1]).text("mode", kernel);
                let x = || x().text("coordinate_transformation_mode", coordinates);
                x().check();
                if kernel == "cubic" {
                    x().int("exclude_outside", 1).check();
                }
                if kernel != "nearest" {
                    x().int("antialias", 1).check();
                    x().int("antialias", 1).int("exclude_outside", 1).check();
                }
            }
        }
        for nearest in NEAREST {
            for &scale in some(&[0.7, 1.3, 2.0], 1) {
                let x = x(&[1, 1, 3, 7]).dynamic(&["", "", "h", "w"]);
                let x = by(x, &[1.0, 1.0, 2.0, scale]).text("nearest_mode", nearest);
                x.text("coordinate_transformation_mode", coordinates).ort().check();
            }
        }
    }
}

#[test]
fn older_spellings() {
    for scale in [1.0, 2.0, 2.6] {
        for mode in ["nearest", "linear"] {
            let x = || case("Upsample").input("x", &[1, 1, 2, 3]).opset(9).f32().ort();
            let scales = floats(&[1.0, 1.0, 2.0, scale]);
            x().constant("scales", scales).text("mode", mode).check();
        }
    }
    for scales in [[2.0, 1.5], [0.5, 0.7], [2.0, 0.5]] {
        for mode in ["nearest", "linear"] {
            let x = || case("Resize").input("x", &[1, 1, 4, 3]).opset(10).f32().ort();
            let scales = floats(&[1.0, 1.0, scales[0], scales[1]]);
            x().constant("scales", scales).text("mode", mode).check();
        }
    }
    for scale in [0.7, 1.5, 2.0] {
        let x = case("Resize").input("x", &[1, 1, 2, 5]).opset(11).f32().ort();
        let x = x.constant("roi", floats(&[])).constant("scales", floats(&[1.0, 1.0, 2.0, scale]));
        let x = x.text("coordinate_transformation_mode", "tf_half_pixel_for_nn");
        x.text("nearest_mode", "floor").check();
    }
}

#[test]
fn crops_of_sizes_known_at_run_time() {
    for region in REGIONS {
        for kernel in KERNELS {
            let x = crop(x(&[5]).dynamic(&["w"]).reference(), region, 3).text("mode", kernel);
            x.float("extrapolation_value", 7.5).check();
        }
    }
}

#[test]
fn one_scale_at_run_time() {
    for policy in ["not_larger", "not_smaller"] {
        let x = case("Resize").input("x", &[3, 4]).dynamic(&["h", "w"]);
        let x = to(x, &[7, 5]).text("keep_aspect_ratio_policy", policy);
        x.text("mode", "linear").reference().check();
    }
}

#[test]
fn scales_and_regions_known_at_run_time() {
    for kernel in KERNELS {
        for scale in [0.7, 1.3] {
            let x = || by(x(&[1, 1, 3, 7]), &[1.0, 1.0, 2.0, scale]).computed().ort();
            x().text("mode", kernel).check();
            let aligned = x().text("coordinate_transformation_mode", "align_corners");
            aligned.text("mode", kernel).check();
        }
        for region in REGIONS {
            let x = x(&[5]).reference().constant("roi", floats(&region)).computed().skip();
            let x = x.ints_input("sizes", &[3]).computed().text("mode", kernel);
            let x = x.text("coordinate_transformation_mode", "tf_crop_and_resize");
            x.float("extrapolation_value", 7.5).check();
        }
        let sizes = to(x(&[3, 4]), &[7, 5]).computed().reference().text("mode", kernel);
        sizes.text("keep_aspect_ratio_policy", "not_larger").check();
    }
}

/// Transforms a model of samples with symbolic sizes.
fn samples(nodes: &str) {
    let text = format!(
        "<ir_version: 8, opset_import: [\"\": 18]> g (float[N,3,H,W] x) => (float[N,3,A,B] y)
         <float[4] scales = {{1,1,2,1.5}}, float[2] half = {{0.5,2}}, int64[2] two = {{2,3}},
          int64[1] i0 = {{0}}, int64[1] i2 = {{2}}, int64[1] i4 = {{4}}> {{ {nodes} }}"
    );
    let model = crate::onnx::text::parse(&text).expect("the test's model parses");
    let options = Options {
        batch: Batch::Axis(0),
        layers: vec![LayerRequest { alias: None, what: "y".into() }],
        neurons: Some(Choice::All),
        ..Options::default()
    };
    transform(model, &options).unwrap_or_else(|error| panic!("{nodes}: {error}"));
}

#[test]
fn samples_stay_apart() {
    for kernel in KERNELS {
        let mode = format!("mode=\"{kernel}\"");
        samples(&format!("y = Resize <{mode}> (x, , scales)"));
        samples(&format!("y = Resize <{mode}, axes=[2,3]> (x, , half)"));
        samples(&format!(
            "shape = Shape (x) batch = Slice (shape, i0, i2) image = Slice (shape, i2, i4)
             large = Mul (image, two) sizes = Concat <axis=0> (batch, large)
             y = Resize <{mode}> (x, , , sizes)"
        ));
    }
}

#[test]
fn what_runtimes_dispute_is_refused() {
    by(x(&[4]), &[1.2]).refused("runtimes disagree");
    let image = by(x(&[4, 6]), &[1.2, 0.5]).text("mode", "linear").int("antialias", 1);
    image.refused("runtimes disagree");
    crop(x(&[5]), [0.2, 0.8], 5).refused("runtimes disagree");
}

#[test]
fn malformed_requests_are_refused() {
    by(x(&[4, 4]), &[2.0]).refused("scales");
    case("Resize").input("x", &[4]).refused("neither scales nor sizes");
    to(x(&[4]), &[8]).text("mode", "quintic").refused("attribute 'mode' is 'quintic'");
    to(x(&[4]), &[8]).text("nearest_mode", "far").refused("attribute 'nearest_mode'");
}

#[test]
fn the_steps_are_these() {
    let image = |scales: &[f64]| by(x(&[1, 1, 2, 2]), scales);
    let asymmetric = |x: Case| x.text("coordinate_transformation_mode", "asymmetric");
    asymmetric(image(&[1.0, 1.0, 2.0, 3.0])).text("nearest_mode", "floor").snapshot("repeated");
    asymmetric(image(&[1.0, 1.0, 1.0, 1.5])).text("nearest_mode", "floor").snapshot("nearest");
    image(&[1.0, 1.0, 2.0, 2.0]).text("mode", "linear").snapshot("linear");
    let symbolic = |x: Case| x.dynamic(&["n", "", "h", "w"]);
    let twice = by(symbolic(x(&[1, 1, 2, 2])), &[1.0, 1.0, 2.0, 2.0]);
    asymmetric(twice).text("nearest_mode", "floor").snapshot("repeated-symbolic");
    let twice = by(symbolic(x(&[1, 1, 2, 2])), &[1.0, 1.0, 1.0, 2.0]).text("mode", "linear");
    twice.snapshot("linear-symbolic");
}
