use crate::compile::rules::testing::{Case, case};

fn of(equation: &str, operands: &[&[i64]]) -> Case {
    let names = ["a", "b", "c", "d", "e", "f"];
    let start = case("Einsum").text("equation", equation);
    names.iter().zip(operands).fold(start, |case, (name, dims)| case.input(name, dims))
}

#[test]
fn one_operand() {
    for equation in ["ij->ij", "ij->ji", "ij->i", "ij->j", "ij", "ji", " i j -> j i "] {
        of(equation, &[&[2, 3]]).check();
    }
    of("bij->bji", &[&[2, 3, 2]]).check();
    of("...->...", &[&[2, 3]]).check();
    of("...i->i...", &[&[2, 3, 2]]).check();
}

#[test]
fn two_operands() {
    for (equation, a, b) in [
        ("ij,jk->ik", &[2, 3][..], &[3, 2][..]),
        ("ij,jk", &[2, 3], &[3, 2]),
        ("ij,jk->ki", &[2, 3], &[3, 2]),
        ("ij,jk->i", &[2, 3], &[3, 2]),
        ("ij,kj->ik", &[2, 3], &[2, 3]),
        ("ij,ij->ij", &[2, 3], &[2, 3]),
        ("i,j->ij", &[2], &[3]),
        ("i,j->ji", &[2], &[3]),
        ("ij,k->ik", &[2, 3], &[2]),
        ("bij,bjk->bik", &[2, 2, 3], &[2, 3, 2]),
        ("bhid,bhjd->bhij", &[1, 2, 2, 3], &[1, 2, 2, 3]),
        ("bhij,bhjd->bihd", &[1, 2, 2, 3], &[1, 2, 3, 2]),
        ("bchw,cd->bdhw", &[1, 2, 2, 2], &[2, 3]),
        ("abc,cd->bda", &[2, 2, 3], &[3, 2]),
        ("zK,Kq->zq", &[2, 3], &[3, 2]),
    ] {
        of(equation, &[a, b]).check();
    }
}

#[test]
fn several_operands() {
    of("ij,jk,kl->il", &[&[2, 3], &[3, 2], &[2, 2]]).check();
    of("i,i,i->i", &[&[3], &[3], &[3]]).check();
    of("ij,j,i->i", &[&[2, 3], &[3], &[2]]).check();
}

#[test]
fn ellipses() {
    for (equation, a, b) in [
        ("...ij,...jk->...ik", &[2, 2, 3][..], &[2, 3, 2][..]),
        ("...ij,jk->...ik", &[2, 2, 3], &[3, 2]),
        ("i...,i...->...i", &[2, 2, 3], &[2, 2, 3]),
    ] {
        of(equation, &[a, b]).check();
    }
}

#[test]
fn symbolic_sizes() {
    let it = case("Einsum").text("equation", "bij,bjk->bik");
    let it = it.input("a", &[2, 2, 3]).dynamic(&["n", "t", ""]);
    it.param("b", &[2, 3, 2]).check();
    let it = case("Einsum").text("equation", "nc->n").input("a", &[2, 3]);
    it.dynamic(&["n", "c"]).check();
    let it = case("Einsum").text("equation", "...ij,jk->...ik");
    it.input("a", &[2, 2, 3]).dynamic(&["n", "m", ""]).param("b", &[3, 2]).check();
}

#[test]
fn malformed_equations_are_refused() {
    for (equation, dims) in [
        ("ij->ik", &[2, 3][..]),
        ("ij->ii", &[2, 3]),
        ("ijk->i", &[2, 3]),
        ("i->i", &[2, 3]),
        ("ij,j->i", &[2, 3]),
        ("i?->i", &[2, 3]),
        ("i.j->i", &[2, 3]),
        ("......ij", &[2, 3]),
        ("ij->->", &[2, 3]),
        ("", &[2, 3]),
    ] {
        of(equation, &[dims]).refused("");
    }
    case("Einsum").input("a", &[2]).refused("equation");
    of("...i->i", &[&[2, 3]]).refused("");
    of("iJ", &[&[2, 3]]).refused("");
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').collect();
    let terms: Vec<String> = letters.chunks(9).map(|part| part.iter().collect()).collect();
    let ones: Vec<&[i64]> = terms.iter().map(|term| &[1; 9][..term.len()]).collect();
    of(&format!("{}->a", terms.join(",")), &ones).refused("unused");
}

#[test]
fn sums_over_everything() {
    of("ij->", &[&[2, 2]]).reference().check();
    of("ij,ij->", &[&[2, 2], &[2, 2]]).reference().check();
    of("ij,ij", &[&[2, 2], &[2, 2]]).reference().check();
    of("i,->i", &[&[2], &[]]).reference().check();
}

#[test]
fn implicit_outputs_begin_with_the_ellipsis() {
    of("...ij,...jk", &[&[2, 1, 2], &[2, 2, 2]]).reference().check();
    of("i...j,j...k", &[&[2, 2, 3], &[3, 2, 2]]).reference().check();
}

#[test]
fn diagonals() {
    for equation in ["ii->i", "ii->", "ii", "iji->ij"] {
        let dims: &[i64] = if equation.starts_with("iji") { &[2, 3, 2] } else { &[2, 2] };
        of(equation, &[dims]).reference().check();
    }
    of("ii,ij->j", &[&[2, 2], &[2, 2]]).reference().check();
}

#[test]
fn sizes_of_one_broadcast() {
    for (equation, a, b) in [
        ("ij,jk->ik", &[2, 1][..], &[2, 2][..]),
        ("ij,jk->ik", &[1, 2], &[1, 2]),
        ("...i,...i->...", &[1, 2], &[2, 2]),
        ("...i,...i->...", &[2, 2], &[1, 2]),
    ] {
        of(equation, &[a, b]).reference().check();
    }
}

#[test]
fn snapshots() {
    of("bij,bjk->bik", &[&[2, 2, 3], &[2, 3, 2]]).snapshot("product");
    of("ij->i", &[&[2, 3]]).snapshot("summed");
}
