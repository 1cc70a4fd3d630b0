//! Documents that are made from the code are as the code makes them.

use std::fmt::Write as _;
use std::path::Path;

#[path = "docs/hashes.rs"]
mod hashes;
#[path = "docs/links.rs"]
mod links;
#[path = "docs/reference.rs"]
mod reference;

use slpc::compile::rules::{Entry, Inputs, Shape, WITHOUT_RULE, table};

/// A document is what the code makes; with `SLPC_UPDATE` it becomes that.
fn fresh(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("SLPC_UPDATE").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == made, "docs/{name} is stale: run SLPC_UPDATE=1 cargo test --test docs");
}

#[test]
fn the_table_of_operators_is_fresh() {
    fresh("operators.md", &operators());
}

#[test]
fn augmented_models_are_the_same_everywhere() {
    fresh("hashes.txt", &hashes::list());
}

#[test]
fn the_reference_of_the_command_line_is_fresh() {
    fresh("cli.md", &reference::page());
}

#[test]
fn the_links_of_the_documents_lead_somewhere() {
    let documents = links::documents(Path::new(env!("CARGO_MANIFEST_DIR")));
    let broken: Vec<_> = documents.iter().flat_map(|document| links::broken(document)).collect();
    assert!(documents.len() > 10 && broken.is_empty(), "{}", broken.join("\n"));
}

fn operators() -> String {
    let mut entries: Vec<&Entry> = table().collect();
    entries.sort_by_key(|entry| (entry.domain, entry.op));
    let mut text = String::from(
        "# Operators\n\n\
         Made from the table of rules by `SLPC_UPDATE=1 cargo test --test docs`. Operators are those of\n\
         the ONNX standard, as operator set 18 spells them, and with their domain in front those that\n\
         exporters leave for one runtime; these stay in the file as they are. *Exact* means that the switched network\n\
         computes the operator itself (theorem 1); *tangent* that it computes the tangent (corollary 1.1).\n\
         *Inputs* are those that may depend on the projected input. An operator that is not listed is\n\
         refused by name when it lies between the input and a layer, and passes through untouched elsewhere.\n\
         Models of operator sets 7 to 28 are read; older spellings are raised first. Beside the forms in the last\n\
         column, a rule refuses by name what contradicts the standard, and ranks that cannot be inferred.\n\n\
         A quantised model is explained where it is written with QuantizeLinear and DequantizeLinear: rounding\n\
         is taken as the identity, so the pair has slope 1 where it does not saturate and 0 where it does, and\n\
         the rows are those of the network of floats with the quantised weights. What rounding does to the\n\
         activities is in the bias, and v = x·ŵ + b̂ holds as for every model.\n\n",
    );
    let zero = entries.iter().filter(|entry| entry.rule.is_none()).count();
    let standard = entries.iter().filter(|entry| entry.domain.is_empty()).count();
    let (count, others) = (entries.len(), entries.len() - standard);
    writeln!(
        text,
        "{count} operators, {standard} of the standard and {others} of exporters: {} have a derivative, \
         {zero} have none but 0.\n",
        count - zero
    )
    .unwrap();
    text.push_str(
        "| operator | inputs | | where there is no derivative | refused |\n|---|---|---|---|---|\n",
    );
    for entry in entries {
        let inputs = match entry.inputs {
            Inputs::All => "all".to_owned(),
            Inputs::First => "0".to_owned(),
            Inputs::Only(inputs) => list(inputs, ", "),
        };
        let shape = match entry.shape {
            _ if entry.rule.is_none() => "zero",
            Shape::Piecewise => "exact",
            Shape::Product => "exact if one factor changes, else tangent",
            Shape::Multilinear => "exact if one operand changes, else tangent",
            Shape::Quotient => "exact if the divisor is fixed, else tangent",
            Shape::Unless(inputs) => {
                &format!("tangent if input {} changes, else exact", list(inputs, " or "))
            }
            Shape::Smooth => "tangent",
        };
        let form = entry.form.as_ref().map_or(String::new(), |form| format!("; {}", form.text));
        let (operator, refused) = (entry.operator(), entry.refusals());
        writeln!(text, "| {operator} | {inputs} | {shape}{form} | {} | {refused} |", entry.kink)
            .unwrap();
    }
    text.push_str(
        "\n## Without a rule\n\n\
         Operators that exporters and optimisers leave in files and that are refused on the way to a layer.\n\n\
         | operator | why |\n|---|---|\n",
    );
    for (operator, why) in WITHOUT_RULE {
        writeln!(text, "| {operator} | {why} |").unwrap();
    }
    text
}

fn list(inputs: &[usize], separator: &str) -> String {
    inputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}
