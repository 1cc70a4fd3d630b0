use super::*;
use crate::compile::project::Quantity;
use crate::compile::select::Choice;
use crate::compile::{Options, transform};
use crate::onnx::text::parse;
use crate::onnx::{load_bytes, to_bytes};

const NET: &str = "<ir_version: 8, opset_import: [\"\" : 18]>
    g (float[N, 3] x) => (float[N, 2] y)
    <float[3, 4] a = {1, -2, 3, 1, 2, 0.5, -1, 1, 0.25, 1, 1, -3}, float[4] p = {0.5, -1, 0, 1},
     float[4, 2] b = {1, -1, 2, 0.5, -1, 1, 3, 1}, float[2] q = {0.5, -0.25}> {
        u = MatMul (x, a) h = Add (u, p) r = Relu (h) w = MatMul (r, b) y = Add (w, q)
    }";

fn augmented(text: &str, neurons: &str, emit: &[Quantity]) -> (Model, Model) {
    let source = load_bytes(to_bytes(&parse(text).unwrap()).unwrap().into(), None).unwrap();
    let neurons: Option<Choice> = Some(neurons.parse().unwrap());
    let options = Options { neurons, emit: emit.to_vec(), ..Options::default() };
    let (model, _) = transform(source.clone(), &options).unwrap();
    (load_bytes(to_bytes(&model).unwrap().into(), None).unwrap(), source)
}

const EVERYTHING: [Quantity; 12] = [
    Quantity::Activity,
    Quantity::Weights,
    Quantity::Bias,
    Quantity::Centre,
    Quantity::Icd,
    Quantity::BiasTerms,
    Quantity::Radius,
    Quantity::State,
    Quantity::Patterns,
    Quantity::SingularValues,
    Quantity::Mixing,
    Quantity::Power,
];

fn outcome(report: &Report, promise: Promise) -> &Outcome {
    &report.rows.iter().find(|row| row.promise == promise).unwrap().outcome
}

#[test]
fn every_choice_of_neurons_keeps_every_promise() {
    for neurons in ["all", "top:1", "top:2", "1", "runtime"] {
        // The patterns of a number of neurons that is not known beforehand take long in tract.
        let given = neurons == "runtime";
        let (model, source) = augmented(NET, neurons, &EVERYTHING[..if given { 8 } else { 12 }]);
        let settings = Settings { samples: 4, source: Some(&source), ..Settings::default() };
        let report = verify(&model, &settings).unwrap();
        assert_eq!((report.rows.len(), report.samples), (14, 4));
        for row in &report.rows {
            assert!(row.is_ok(), "{neurons}: {row:?}");
            let measured = matches!(row.outcome, Outcome::Measured { .. });
            let singular =
                matches!(row.promise, Promise::Patterns | Promise::Singular | Promise::Power);
            assert_eq!(measured, !(given && singular), "{neurons}: {row:?}");
        }
    }
}

#[test]
fn curved_operators_are_judged_by_their_slope() {
    let (model, _) = augmented(&NET.replace("Relu", "Tanh"), "all", &EVERYTHING[..6]);
    let report = verify(&model, &Settings { samples: 2, ..Settings::default() }).unwrap();
    assert!(report.is_ok());
    assert_eq!(*outcome(&report, Promise::Step), Outcome::NotMeasured);
    assert!(matches!(outcome(&report, Promise::Slope), Outcome::Measured { .. }));
}

#[test]
fn what_was_not_emitted_is_said() {
    let (model, _) = augmented(NET, "all", &[Quantity::Weights]);
    let report = verify(&model, &Settings { samples: 2, ..Settings::default() }).unwrap();
    for promise in [Promise::Activity, Promise::Projection, Promise::Centre, Promise::BiasTerms] {
        assert_eq!(*outcome(&report, promise), Outcome::NotEmitted);
    }
}

/// Doubles what enters the output `name`.
fn tamper(model: &mut Model, name: &str) {
    let graph = &mut model.graph;
    let output = graph.find(name).unwrap();
    let producer = graph.producer(output).unwrap();
    let node = graph.node(producer).clone();
    let inner = crate::graph::Value { name: "slp/tampered".into(), ..graph.value(output).clone() };
    let inner = graph.add_value(inner).unwrap();
    graph.remove_node(producer);
    graph
        .add_node(crate::graph::Node {
            name: "tampered".into(),
            outputs: vec![Some(inner)],
            ..node
        })
        .unwrap();
    let twice = crate::graph::Node::new("Add", vec![Some(inner), Some(inner)], vec![Some(output)]);
    graph.add_node(twice).unwrap();
}

#[test]
fn a_broken_promise_is_found() {
    let cases = [
        ("slp/y/activity", Promise::Activity),
        ("slp/y/weights", Promise::Slope),
        ("slp/y/weights", Promise::Projection),
        ("slp/y/bias", Promise::Projection),
        ("slp/y/bias", Promise::BiasTerms),
        ("slp/y/centre", Promise::Centre),
        ("slp/y/icd", Promise::Decomposition),
        ("slp/y/bias-terms", Promise::BiasTerms),
        ("slp/y/patterns", Promise::Patterns),
        ("slp/y/mixing", Promise::Patterns),
        ("slp/y/singular-values", Promise::Singular),
        ("slp/y/power", Promise::Power),
        ("slp/y/radius", Promise::Region),
    ];
    for (output, promise) in cases {
        let (mut model, _) = augmented(NET, "all", &EVERYTHING);
        tamper(&mut model, output);
        let report = verify(&model, &Settings { samples: 2, ..Settings::default() }).unwrap();
        let row = report.rows.iter().find(|row| row.promise == promise).unwrap();
        assert!(!row.is_ok() && !report.is_ok(), "{output}: {row:?}");
    }
}

#[test]
fn another_source_is_noticed() {
    let (model, _) = augmented(NET, "all", &EVERYTHING);
    let (_, other) = augmented(&NET.replace("-0.25}", "-0.5}"), "all", &EVERYTHING);
    let settings = Settings { samples: 2, source: Some(&other), ..Settings::default() };
    let report = verify(&model, &settings).unwrap();
    assert!(!report.is_ok());
    assert!(
        matches!(outcome(&report, Promise::Source), Outcome::Measured { worst, .. } if *worst > 0.0)
    );
}

#[test]
fn a_plain_model_is_refused() {
    let error = verify(&parse(NET).unwrap(), &Settings::default()).unwrap_err();
    assert!(error.to_string().contains("slpc transform"), "{error}");
}

#[test]
fn data_must_fit() {
    let (model, _) = augmented(NET, "all", &EVERYTHING);
    for (shape, fits) in
        [(&[5, 3][..], true), (&[1, 3], true), (&[3], false), (&[5, 4], false), (&[0, 3], false)]
    {
        let data: Array = ndarray::ArrayD::<f64>::ones(shape).into();
        let settings = Settings { data: Some(&data), samples: 2, ..Settings::default() };
        let result = verify(&model, &settings);
        assert_eq!(result.is_ok(), fits, "{shape:?}: {result:?}");
    }
}
