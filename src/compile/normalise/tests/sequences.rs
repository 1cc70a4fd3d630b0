use super::*;

#[test]
fn elements_of_sequences_are_the_tensors() {
    let at = |position: i64| {
        raised(
            18,
            &format!(
                "a = Relu (x) b = Neg (x) s = SequenceConstruct (a, b) \
                 i = Constant <value = int64 {{{position}}}> () y = SequenceAt (s, i)"
            ),
        )
    };
    assert_eq!(at(0), "a = Relu(x)\nb = Neg(x)\ny = Identity(a)");
    assert_eq!(at(-1), "a = Relu(x)\nb = Neg(x)\ny = Identity(b)");
    let outside =
        "s = SequenceConstruct (x) i = Constant <value = int64 {1}> () y = SequenceAt (s, i)";
    assert!(refused(18, outside).contains("position 1 lies outside a sequence of length 1"));
}

#[test]
fn sequences_that_grow_and_shrink() {
    let body = "e = SequenceEmpty () s = SequenceInsert (e, x) r = Relu (x) \
        i = Constant <value = int64 {0}> () t = SequenceInsert (s, r, i) n = Neg (x) \
        u = SequenceInsert (t, n) v = SequenceErase (u) y = ConcatFromSequence <axis = 1> (v)";
    assert_eq!(raised(18, body), "r = Relu(x)\nn = Neg(x)\ny = Concat<axis=1>(r, x)");
    let body = "s = SequenceConstruct (x, x, x) n = SequenceLength (s) y = Identity (n)";
    assert_eq!(raised(18, body), "n = Identity(3)\ny = Identity(n)");
}

#[test]
fn stacks_have_a_new_axis() {
    let body = "r = Relu (x) s = SequenceConstruct (x, r) \
        y = ConcatFromSequence <axis = -1, new_axis = 1> (s)";
    let wanted = "r = Relu(x)\ny/element = Unsqueeze(x, [-1])\ny/element~2 = Unsqueeze(r, [-1])\n\
        y = Concat<axis=-1>(y/element, y/element~2)";
    assert_eq!(raised(18, body), wanted);
}

#[test]
fn parts_of_a_tensor() {
    let split = |split: &str, position: i64| {
        raised(
            18,
            &format!(
                "i = Constant <value = int64 {{{position}}}> () two = Constant <value = int64 {{2}}> () \
                 s = SplitToSequence {split} y = SequenceAt (s, i)"
            ),
        )
    };
    assert_eq!(split("<axis = 2> (x, two)", 1), "y = Slice(x, [2], [4], [2])");
    assert_eq!(split("<axis = 1> (x)", 2), "y = Slice(x, [2], [3], [1])");
    assert_eq!(split("<axis = 1, keepdims = 0> (x)", -1), "y = Gather<axis=1>(x, -1)");
    let whole = "s = SplitToSequence <axis = 1> (x) y = ConcatFromSequence <axis = 1> (s)";
    assert_eq!(raised(18, whole), "y = Identity(x)");
}

#[test]
fn optionals_that_are_there_and_that_are_not() {
    let body = "o = Optional (x) y = OptionalGetElement (o)";
    assert_eq!(raised(18, body), "y = Identity(x)");
    assert_eq!(raised(18, "o = Optional (x) y = OptionalHasElement (o)"), "y = Identity(1)");
    let body = "s = SequenceConstruct (x) o = Optional (s) t = OptionalGetElement (o) \
        i = Constant <value = int64 {0}> () y = SequenceAt (t, i)";
    assert_eq!(raised(18, body), "y = Identity(x)");
}

#[test]
fn what_is_not_known_stays() {
    let body = "s = SequenceConstruct (x, x) i = Identity (w) y = SequenceAt (s, i)";
    assert!(raised(18, body).contains("y = SequenceAt(s, i)"));
}
