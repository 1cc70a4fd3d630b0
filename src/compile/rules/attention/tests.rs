use crate::compile::rules::testing::{Case, case, long};
use crate::graph::{DataType, Tensor};

fn attention(opset: i64) -> Case {
    case("Attention").opset(opset).reference()
}

/// Queries, keys and values that all change: by head, or with the heads joined.
fn qkv(it: Case, joined: bool, heads: [i64; 2]) -> Case {
    let [queries, keys] = heads;
    if !joined {
        let it = it.input("q", &[2, queries, 2, 3]).input("k", &[2, keys, 4, 3]);
        return it.input("v", &[2, keys, 4, 2]);
    }
    let it = it.int("q_num_heads", queries).int("kv_num_heads", keys);
    let it = it.input("q", &[2, 2, 3 * queries]).input("k", &[2, 4, 3 * keys]);
    it.input("v", &[2, 4, 2 * keys])
}

/// The case with one of the masks that scores of 2 queries and 4 keys can have.
fn masked(it: Case, mask: usize) -> Case {
    let never = f64::NEG_INFINITY;
    match mask {
        0 => it,
        1 => it.bools("m", &[2, 4], &[true, false, true, true, false, true, true, false]),
        2 => it.bools("m", &[2, 1, 1, 4], &[true, true, false, true, false, true, false, false]),
        3 => it.input("m", &[2, 4]),
        4 => it.input("m", &[2, 1, 2, 4]),
        5 => it.constant("m", Tensor::floats(DataType::F64, vec![1, 4], &[0.3, never, 0.5, -1.0])),
        _ => it.bools("m", &[2, 4], &[false, false, false, false, true, true, true, false]),
    }
}

#[test]
fn heads_apart_and_joined_under_every_mask() {
    for opset in [23, 24] {
        for (joined, heads) in [(false, [1, 1]), (false, [4, 2]), (true, [2, 2]), (true, [2, 1])] {
            for mask in 0..7 {
                // Where a mask is the same for all queries, the reference evaluator lets each see what
                // the first one may, against the standard.
                let one_row = mask == 2 || mask == 5;
                for causal in 0..2 - usize::from(one_row) {
                    if long() || opset == 24 && (mask + causal) % 2 == 0 {
                        let it =
                            qkv(attention(opset), joined, heads).int("is_causal", causal as i64);
                        masked(it, mask).check();
                    }
                }
            }
        }
    }
}

#[test]
fn every_form_of_the_scores_is_an_output() {
    for mode in 0..4 {
        for cap in [0.0, 1.5] {
            // The reference evaluator caps the scores of mode 0 too, against the standard.
            let engine = |it: Case| if mode == 0 { it.f32().ort() } else { it.reference() };
            let it = || {
                engine(case("Attention").opset(24).float("softcap", cap))
                    .int("qk_matmul_output_mode", mode)
            };
            let it = || {
                let it = it().float("scale", 0.4).input("q", &[1, 2, 2, 3]);
                it.input("k", &[1, 1, 4, 3]).param("v", &[1, 1, 4, 2])
            };
            it().outputs_at(&[0, 3]).check();
            if mode != 2 {
                masked(it(), 6).outputs_at(&[0, 3]).check();
            }
        }
    }
}

#[test]
fn keys_and_values_of_the_past() {
    for (joined, causal, mask) in [(false, 0, false), (false, 1, true), (true, 1, false)] {
        let it = attention(23).int("is_causal", causal);
        let it = if joined {
            let it = it.int("q_num_heads", 2).int("kv_num_heads", 1);
            it.input("q", &[1, 2, 6]).input("k", &[1, 2, 3]).input("v", &[1, 2, 2])
        } else {
            it.input("q", &[1, 2, 2, 3]).input("k", &[1, 1, 2, 3]).input("v", &[1, 1, 2, 2])
        };
        let it = if mask { it.input("m", &[2, 5]) } else { it.skip() };
        it.input("pk", &[1, 1, 3, 3]).input("pv", &[1, 1, 3, 2]).check();
    }
    for (changing, outputs) in [(1, [0, 1]), (2, [0, 2]), (4, [0, 1]), (5, [0, 2])] {
        let of = |it: Case, index: usize, name: &str, dims: &[i64]| {
            if index == changing { it.input(name, dims) } else { it.param(name, dims) }
        };
        let it = attention(23).outputs_at(&outputs).param("q", &[1, 1, 2, 3]);
        let it = of(of(it, 1, "k", &[1, 1, 2, 3]), 2, "v", &[1, 1, 2, 2]).skip();
        of(of(it, 4, "pk", &[1, 1, 1, 3]), 5, "pv", &[1, 1, 1, 2]).check();
    }
}

#[test]
fn lengths_of_samples_and_windows() {
    for (opset, causal) in [(24, 0), (24, 1), (25, 1)] {
        let it = qkv(attention(opset).int("is_causal", causal), false, [2, 2]);
        it.skip().skip().skip().ints_input("n", &[3, 2]).check();
    }
    for (left, right) in [(1, -1), (-1, 1), (0, 0), (1, 1)] {
        let it = attention(25).int("left_window_size", left).int("right_window_size", right);
        qkv(it, false, [1, 1]).check();
    }
}

#[test]
fn short_masks_are_filled_up() {
    let it = || qkv(attention(24), false, [1, 1]);
    it().bools("m", &[2, 3], &[true, false, true, true, true, true]).check();
    it().input("m", &[2, 3]).check();
}

#[test]
fn sizes_known_at_run_time() {
    let it =
        attention(23).int("is_causal", 1).input("q", &[2, 2, 3, 4]).dynamic(&["n", "", "t", ""]);
    it.param("k", &[2, 2, 3, 4]).param("v", &[2, 2, 3, 2]).check();
    let it = attention(24).int("q_num_heads", 2).int("kv_num_heads", 1).input("q", &[1, 2, 4]);
    let it = it.dynamic(&["", "t", ""]).input("k", &[1, 3, 2]).dynamic(&["", "s", ""]);
    it.input("v", &[1, 3, 2]).dynamic(&["", "s", ""]).check();
}

#[test]
fn contradictions_are_refused() {
    let it = || attention(23).input("q", &[1, 3, 2, 4]);
    it().param("k", &[1, 2, 2, 4]).param("v", &[1, 2, 2, 4]).refused("do not fit");
}

#[test]
fn flexible_attention_without_modifiers() {
    let flex = || case("ai.onnx.preview.FlexAttention").opset(25).f32();
    let of =
        |it: Case| it.input("q", &[1, 2, 2, 3]).input("k", &[1, 1, 2, 3]).input("v", &[1, 1, 2, 2]);
    of(flex().reference()).snapshot("plain");
    of(flex().reference().float("scale", 0.5)).check();
}

#[test]
fn snapshots() {
    let it = attention(23).input("q", &[1, 1, 2, 3]).param("k", &[1, 1, 2, 3]);
    it.param("v", &[1, 1, 2, 2]).snapshot("query");
    let it = attention(23).param("q", &[1, 1, 2, 3]).param("k", &[1, 1, 2, 3]).int("is_causal", 1);
    it.input("v", &[1, 1, 2, 2]).snapshot("value");
}
