//! Inlined functions.

use super::*;

const HALF: &str = "<domain: \"f\", opset_import: [\"\" : 18]> Half (a) => (b)
    { h = Constant <value_float = 0.5> () [m] b = Mul (a, h) }";

#[test]
fn a_call_becomes_the_body() {
    check(18, &format!("[c] y = f.Half (x) --- {HALF}"), "y = Mul(x, 0.5)");
    let mut model = model(18, &format!("[c] t = f.Half (x) [d] y = f.Half (t) --- {HALF}"));
    normalise(&mut model).unwrap();
    let nodes: Vec<_> = model.graph.nodes().map(|(_, node)| &*node.name).collect();
    assert_eq!(nodes, ["c/m", "d/m"]);
    assert!(model.graph.find("c/h").is_some() && model.graph.find("d/h").is_some());
    assert!(!model.opsets.contains_key("f"));
}

#[test]
fn inner_names_stay_unique() {
    let function = "<domain: \"f\", opset_import: [\"\" : 18]> Twice (a) => (b)
        { t = Neg (a) b = Neg (t) }";
    let body = format!(
        "[c] u = f.Twice (x) [c] v = f.Twice (u) \"c/t\" = Relu (v) y = Neg (\"c/t\") --- {function}"
    );
    check(
        18,
        &body,
        "c/t~2 = Neg(x)\nu = Neg(c/t~2)\nc/t~3 = Neg(u)\nv = Neg(c/t~3)\nc/t = Relu(v)\ny = Neg(c/t)",
    );
}

#[test]
fn calls_nest() {
    let outer = format!(
        "<domain: \"f\", opset_import: [\"\" : 18, \"f\" : 1]> Quarter (a) => (b)
         {{ [in] t = f.Half (a) b = f.Half (t) }} {HALF}"
    );
    check(
        18,
        &format!("[q] y = f.Quarter (x) --- {outer}"),
        "q/t = Mul(x, 0.5)\ny = Mul(q/t, 0.5)",
    );
    let mut model = model(18, &format!("[q] y = f.Quarter (x) --- {outer}"));
    normalise(&mut model).unwrap();
    assert!(model.graph.find("q/in/h").is_some());
}

#[test]
fn attributes_come_from_the_call_or_the_default() {
    let leaky = |call: &str, declared: &str| {
        let function = format!(
            "<domain: \"f\", opset_import: [\"\" : 18]> L <{declared}> (a) => (b)
             {{ b = LeakyRelu <alpha: float = @slope> (a) }}"
        );
        raised(18, &format!("y = f.L {call} (x) --- {function}"))
    };
    assert_eq!(leaky("<slope = 0.5>", "slope"), "y = LeakyRelu<alpha=0.5>(x)");
    assert_eq!(leaky("", "slope"), "y = LeakyRelu(x)");
    assert_eq!(leaky("", "slope: float = 0.25"), "y = LeakyRelu<alpha=0.25>(x)");
    assert_eq!(leaky("<slope = 0.5>", "slope: float = 0.25"), "y = LeakyRelu<alpha=0.5>(x)");
}

#[test]
fn a_default_holds_when_the_outer_call_gives_nothing() {
    let functions = "<domain: \"f\", opset_import: [\"\" : 18, \"f\" : 1]> Out <s> (a) => (b)
            { b = f.In <slope: float = @s> (a) }
        <domain: \"f\", opset_import: [\"\" : 18]> In <slope: float = 0.25> (a) => (b)
            { b = LeakyRelu <alpha: float = @slope> (a) }";
    check(18, &format!("y = f.Out (x) --- {functions}"), "y = LeakyRelu<alpha=0.25>(x)");
    check(18, &format!("y = f.Out <s = 0.5> (x) --- {functions}"), "y = LeakyRelu<alpha=0.5>(x)");
}

#[test]
fn left_out_inputs_are_left_out_in_the_body() {
    let function = "<domain: \"f\", opset_import: [\"\" : 18]> C (a, lo, hi) => (b, s)
        { b = Clip (a, lo, hi) s = Shape (a) }";
    check(18, &format!("y = f.C (x) --- {function}"), "y = Clip(x, _, _)\ny/s = Shape(x)");
    check(18, &format!("y = f.C (x, , w) --- {function}"), "y = Clip(x, _, w)\ny/s = Shape(x)");
    let error = refused(18, &format!("y = f.C (x, w, w, w) --- {function}"));
    assert!(error.contains("takes 3 inputs"), "{error}");
}

#[test]
fn outputs_that_are_no_result_of_their_own_are_copied() {
    let function = "<domain: \"f\", opset_import: [\"\" : 18]> P (a) => (a, b, b)
        { b = Neg (a) }";
    check(
        18,
        &format!("u, v, y = f.P (x) --- {function}"),
        "v = Neg(x)\nu = Identity(x)\ny = Identity(v)",
    );
    let error = refused(18, &format!("y = f.P () --- {function}"));
    assert!(error.contains("leaves out"), "{error}");
    let constant = "<domain: \"f\", opset_import: [\"\" : 18]> K () => (k)
        { k = Constant <value_int = 1> () }";
    check(18, &format!("k = f.K () y = Add (x, k) --- {constant}"), "y = Add(x, 1)");
}

#[test]
fn subgraphs_of_a_body_see_its_values() {
    let function = "<domain: \"f\", opset_import: [\"\" : 18]> S <alpha> (c, a, o) => (b) {
        n = Neg (a)
        b = If (c) <then_branch = t () => (r) { r = LeakyRelu <alpha: float = @alpha> (n) },
                    else_branch = e () => (r) { r = Clip (a, o) }> }";
    check(
        18,
        &format!("[s] y = f.S <alpha = 0.5> (w, x) --- {function}"),
        "s/n = Neg(x)\ny = If<then_branch={s/r = LeakyRelu<alpha=0.5>(s/n)} \
         else_branch={s/r~2 = Clip(x, _)}>(w)",
    );
}

#[test]
fn calls_in_subgraphs_are_inlined() {
    let body = "y = If (w) <then_branch = t () => (r) { [c] r = f.Half (x) },
                            else_branch = e () => (s) { s = Neg (x) }>";
    check(
        18,
        &format!("{body} --- {HALF}"),
        "y = If<then_branch={r = Mul(x, 0.5)} else_branch={s = Neg(x)}>(w)",
    );
}

#[test]
fn bodies_are_raised_from_their_own_operator_set() {
    let max = |body: i64| {
        let axes = if body < 18 { "<axes = [1]> (a)" } else { "(a, i)" };
        format!(
            "y = f.M (x) --- <domain: \"f\", opset_import: [\"\" : {body}]> M (a) => (b)
             {{ i = Constant <value_ints = [1]> () b = ReduceMax {axes} }}"
        )
    };
    for (model, body) in [(13, 13), (13, 18), (18, 13), (13, 17)] {
        check(model, &max(body), "y = ReduceMax(x, [1])");
    }
    let newer = super::model(13, &max(21));
    assert_eq!(shown(newer), "y = ReduceMax(x, [1])");
    assert!(refused(13, &max(6)).contains("operator set 6"));
    let group = "y = f.G (x) z = GroupNormalization <num_groups = 1> (x, w, w) ---
        <domain: \"f\", opset_import: [\"\" : 21]> G (a) => (b) { b = Relu (a) }";
    assert!(refused(18, group).contains("mixes operator sets"));
}

#[test]
fn a_mixed_model_is_raised_past_the_working_operator_set() {
    let body = "a = DFT <axis = 2> (x) y = f.G (a) z = GridSample <mode = \"bilinear\"> (x, w) ---
        <domain: \"f\", opset_import: [\"\" : 20]> G (a) => (b) { b = Relu (a) }";
    let mut model = model(17, body);
    normalise(&mut model).unwrap();
    assert_eq!(model.opset(), 20);
    let text = show(&model.graph);
    assert!(
        text.contains("a = DFT(x, _, 2)") && text.contains("GridSample<mode=linear>"),
        "{text}"
    );
}

#[test]
fn overloads_are_told_apart() {
    let function = |overload: &str, op: &str| {
        format!(
            "<domain: \"f\", overload: \"{overload}\", opset_import: [\"\" : 18]> F (a) => (b)
             {{ b = {op} (a) }}"
        )
    };
    let both = format!("{} {}", function("one", "Neg"), function("two", "Abs"));
    check(18, &format!("t = f.F:one (x) y = f.F:two (t) --- {both}"), "t = Neg(x)\ny = Abs(t)");
}

#[test]
fn recursion_is_an_error() {
    let around =
        "<domain: \"f\", opset_import: [\"\" : 18, \"f\" : 1]> A (a) => (b) { b = f.B (a) }
        <domain: \"f\", opset_import: [\"\" : 18, \"f\" : 1]> B (a) => (b) { b = f.A (a) }";
    let error = normalise(&mut model(18, &format!("y = f.A (x) --- {around}"))).unwrap_err();
    assert_eq!(error.kind, crate::error::Kind::Unreadable);
    assert!(error.to_string().contains("function 'A' calls itself"), "{error}");
    check(18, &format!("y = Relu (x) --- {around}"), "y = Relu(x)");
}

#[test]
fn a_body_that_explodes_is_an_error() {
    let mut functions = String::new();
    for level in 0..40 {
        let below = format!("f.F{}", level + 1);
        let below = if level == 39 { "Neg" } else { &below };
        functions += &format!(
            "<domain: \"f\", opset_import: [\"\" : 18, \"f\" : 1]> F{level} () => (b)
             {{ t = {below} () b = {below} () }} "
        );
    }
    let mut model = model(18, &format!("y = f.F0 () --- {functions}"));
    let functions = Functions::new(std::mem::take(&mut model.functions));
    let mut names = Names::of(&model.graph);
    let result = functions.inline_at_most(&mut model, (18, 18), &mut names, 100_000);
    assert!(result.unwrap_err().to_string().contains("grow too large"));
}

#[test]
fn attributes_that_explode_are_an_error() {
    // Some thousand numbers, which four levels of ten calls each would copy ten thousand times.
    let mut functions = String::new();
    for level in 0..4 {
        let call = format!("f.F{} <n: ints = @n> (a)", level + 1);
        let call = if level == 3 { "Constant <value_ints: ints = @n> ()" } else { &call };
        let nodes: String = (0..10).map(|i| format!("b{i} = {call} ")).collect();
        functions += &format!(
            "<domain: \"f\", opset_import: [\"\" : 18, \"f\" : 1]> F{level} <n> (a) => (b0)
             {{ {nodes} }} "
        );
    }
    let numbers = vec!["7"; 5000].join(", ");
    let text = format!("y = f.F0 <n = [{numbers}]> (x) --- {functions}");
    assert!(refused(18, &text).contains("grow too large"));
}

#[test]
fn foreign_domains_of_bodies_are_taken_over() {
    let function = "<domain: \"f\", opset_import: [\"\" : 18, \"q\" : 2]> F (a) => (b)
        { b = q.Op (a) }";
    let mut model = model(18, &format!("y = f.F (x) --- {function}"));
    model.opsets.insert("q".to_owned(), 1);
    let error = normalise(&mut model.clone()).unwrap_err().to_string();
    assert!(error.contains("version 2 of 'q'"), "{error}");
    model.opsets.remove("q");
    normalise(&mut model).unwrap();
    assert_eq!(model.opsets.get("q"), Some(&2));
}
