use crate::compile::rules::testing::{Case, case, long};
use crate::compile::{Options, transform};
use crate::onnx::text;

/// `case` with a grid of values in `within`, which changes where the output changes with it.
fn grid_within(case: Case, mode: &str, dims: &[i64], within: [f64; 2]) -> Case {
    let it = if mode == "nearest" { case.param("g", dims) } else { case.input("g", dims) };
    it.within(within[0], within[1]).text("mode", mode)
}

/// Grid values between and beyond the pixels, away from kinks.
fn grid(case: Case, mode: &str, dims: &[i64]) -> Case {
    grid_within(case, mode, dims, [-1.53, 1.47])
}

fn sample(mode: &str, x: &[i64], g: &[i64]) -> Case {
    grid(case("GridSample").opset(20).ort().input("x", x), mode, g)
}

const PADDINGS: [&str; 3] = ["zeros", "border", "reflection"];

#[test]
fn planes() {
    for mode in ["linear", "nearest", "cubic"] {
        for padding in PADDINGS {
            for aligned in [0, 1] {
                let sizes: &[[i64; 2]] = if long() { &[[3, 4], [2, 5], [1, 3]] } else { &[[3, 4]] };
                for &[h, w] in sizes {
                    let it = sample(mode, &[2, 2, h, w], &[2, 2, 3, 2]);
                    it.text("padding_mode", padding).int("align_corners", aligned).check();
                }
            }
        }
    }
}

#[test]
fn volumes() {
    for mode in ["linear", "nearest"] {
        for padding in PADDINGS {
            for aligned in [0, 1] {
                let it = sample(mode, &[1, 2, 2, 3, 4], &[1, 2, 1, 3, 3]);
                it.text("padding_mode", padding).int("align_corners", aligned).check();
            }
        }
    }
}

/// ONNX Runtime lacks these; the reference evaluator knows places in single precision only.
#[test]
fn cubic_volumes_and_lines() {
    for padding in PADDINGS {
        let volume = case("GridSample").opset(20).reference().f32().input("x", &[1, 1, 2, 2, 3]);
        let inner = if padding == "border" { [-0.47, 0.46] } else { [-1.53, 1.47] };
        let volume = grid_within(volume, "cubic", &[1, 1, 1, 2, 3], inner);
        volume.text("padding_mode", padding).check();
        for mode in ["linear", "nearest", "cubic"] {
            let line = case("GridSample").opset(20).reference().f32().input("x", &[1, 1, 4]);
            let line = grid_within(line, mode, &[1, 3, 1], inner);
            line.text("padding_mode", padding).check();
        }
    }
}

#[test]
fn far_places() {
    for padding in PADDINGS {
        for mode in ["linear", "nearest", "cubic"] {
            for aligned in [0, 1] {
                let it = case("GridSample").opset(20).ort().input("x", &[1, 1, 2, 3]);
                let it = grid_within(it, mode, &[1, 1, 3, 2], [-7.03, 6.97]);
                it.text("padding_mode", padding).int("align_corners", aligned).check();
            }
        }
    }
}

#[test]
fn infinite_places_read_nothing() {
    let it = case("GridSample").opset(20).input("x", &[1, 1, 2, 2]);
    let it = it.param("g", &[1, 1, 1, 2]).values(&[f64::INFINITY, 0.0]).ort();
    it.jacobian(&[&[0.0; 4]]);
}

#[test]
fn places_at_kinks() {
    for padding in PADDINGS {
        for mode in ["linear", "nearest", "cubic"] {
            for (aligned, place) in [(0, -1.0), (0, 0.0), (1, -1.0), (1, 1.0), (1, 1e15)] {
                let it = case("GridSample").opset(20).ort().input("x", &[1, 1, 2, 2]);
                let it = match mode {
                    "nearest" => it.param("g", &[1, 1, 1, 2]),
                    _ => it.input("g", &[1, 1, 1, 2]),
                };
                let it = it.values(&[place; 2]).text("mode", mode).int("align_corners", aligned);
                it.text("padding_mode", padding).stays_finite();
            }
        }
    }
}

#[test]
fn older_spellings() {
    for mode in ["bilinear", "nearest", "bicubic"] {
        let it = case("GridSample").opset(18).f32().ort().input("x", &[1, 1, 3, 3]);
        grid(it, mode, &[1, 2, 2, 2]).check();
    }
}

#[test]
fn symbolic_sizes() {
    let it = || case("GridSample").opset(20).ort();
    for padding in PADDINGS {
        for aligned in [0, 1] {
            let it = || it().text("padding_mode", padding).int("align_corners", aligned);
            let x = it().input("x", &[2, 1, 3, 4]).dynamic(&["n", "", "h", "w"]);
            x.param("g", &[2, 2, 3, 2]).check();
            let g = grid(it().param("x", &[2, 1, 3, 4]), "linear", &[2, 2, 3, 2]);
            g.dynamic(&["n", "a", "b", ""]).check();
        }
    }
}

#[test]
fn samples_stay_apart() {
    let graph = "g (double[n, 2, 4, 5] x) => (y) <int64[2] a = {2, 3}, int64[1] one = {1}, int64[1] b = {3}> {
        m = ReduceMean <keepdims = 0> (x, a) u = Unsqueeze (m, one) v = Unsqueeze (u, b)
        g = Concat <axis = 3> (v, v) y = GridSample (x, g) }";
    let text = format!("<ir_version: 9, opset_import: [\"\" : 20]> {graph}");
    let model = text::parse(&text).unwrap();
    transform(model, &Options::default()).unwrap();
}

#[test]
fn malformed_grids_are_refused() {
    let of = |g: &[i64]| case("GridSample").opset(20).input("x", &[1, 1, 2, 2]).param("g", g);
    of(&[1, 1, 1, 3]).refused("");
    of(&[1, 1, 2]).refused("");
    of(&[1, 1, 1, 2]).text("mode", "sharp").refused("'sharp'");
    of(&[1, 1, 1, 2]).text("padding_mode", "none").refused("'none'");
}

#[test]
fn affine_grids() {
    for aligned in [0, 1] {
        let it = |dims: &[i64], size: &[i64]| {
            let it = case("AffineGrid").opset(20).ort().input("t", dims);
            it.ints_input("size", size).int("align_corners", aligned)
        };
        it(&[2, 2, 3], &[2, 1, 3, 4]).check();
        it(&[1, 3, 4], &[1, 2, 2, 3, 2]).check();
        let it = case("AffineGrid").opset(20).ort().input("t", &[2, 2, 3]).dynamic(&["n"]);
        it.ints_input("size", &[2, 1, 2, 2]).int("align_corners", aligned).check();
    }
    let one = case("AffineGrid").opset(20).ort().input("t", &[1, 2, 3]);
    one.ints_input("size", &[1, 1, 1, 2]).check();
    let one = case("AffineGrid").opset(20).input("t", &[1, 2, 3]).int("align_corners", 1);
    one.ints_input("size", &[1, 1, 1, 2]).refused("one point");
}

#[test]
fn snapshots() {
    let plain = || case("GridSample").opset(20).ort();
    plain().input("x", &[1, 2, 3, 4]).param("g", &[1, 2, 2, 2]).snapshot("image");
    plain().input("x", &[2, 1, 3, 3]).param("g", &[2, 1, 2, 2]).snapshot("batch");
    grid(plain().param("x", &[1, 2, 3, 4]), "linear", &[1, 2, 2, 2]).snapshot("grid");
    let affine = case("AffineGrid").opset(20).ort().input("t", &[1, 2, 3]);
    affine.ints_input("size", &[1, 1, 2, 3]).snapshot("plain");
}
