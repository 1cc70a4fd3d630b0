//! The Jacobian of a case, both ways, against central differences.

use std::collections::HashMap;

use ndarray::{Array1, Array2, ArrayD, Axis, Dimension, IxDyn};

use super::outside::{self, Points};
use super::{Case, Changing, Engine, FLAT, layer};
use crate::compile::plan::{Direction, Limits};
use crate::compile::project::Quantity;
use crate::compile::select::{Batch, Choice};
use crate::compile::{Options, transform};
use crate::engine::Array;
use crate::engine::tract::Session;
use crate::graph::{DataType, Model};
use crate::onnx;

/// What every case asks of [`transform`].
pub(super) fn options() -> Options {
    use Quantity::{Activity, Bias, BiasTerms, Weights};
    Options {
        neurons: Some(Choice::All),
        emit: vec![Activity, Weights, Bias, BiasTerms],
        batch: Batch::None,
        ..Options::default()
    }
}

/// The step of the differences, how far they may be off, and how far results of exact formulas may.
///
/// In double precision a central difference is off by about 1e-16·v/h + h²·y‴. In single precision
/// it is off by a few units in the last place of v over h, 4·6e-8/2e-3, and by h²·y‴/6.
struct Precision {
    step: f64,
    difference: f64,
    exact: f64,
}

impl Precision {
    fn of(dtype: DataType) -> Self {
        match dtype {
            DataType::F64 => Self { step: 1e-6, difference: 1e-7, exact: 1e-12 },
            _ => Self { step: 2e-3, difference: 3e-4, exact: 3e-6 },
        }
    }
}

/// What the model computes at one point, by output.
type Outputs = HashMap<String, Array>;

/// Runs a model at inputs that differ in one tensor.
struct Runner {
    case: String,
    engine: Ready,
    name: String,
    dims: Vec<usize>,
    dtype: DataType,
}

/// A model in an engine.
enum Ready {
    Tract(Session),
    Outside(Engine, Vec<u8>),
}

impl Runner {
    fn run(&self, x: &[f64]) -> Outputs {
        self.run_all(&[x.to_vec()]).remove(0)
    }

    fn run_all(&self, values: &[Vec<f64>]) -> Vec<Outputs> {
        let outputs = match &self.engine {
            Ready::Tract(session) => values.iter().map(|x| self.in_tract(session, x)).collect(),
            Ready::Outside(engine, model) => {
                let (name, dims, dtype) = (&*self.name, &*self.dims, self.dtype);
                outside::run(*engine, model, &Points { name, dims, dtype, values })
            }
        };
        let outputs = outputs.unwrap_or_else(|error| panic!("{}: {error}", self.case));
        outputs.into_iter().map(|outputs| outputs.into_iter().collect()).collect()
    }

    fn in_tract(&self, session: &Session, x: &[f64]) -> Result<Vec<(String, Array)>, String> {
        let x = ArrayD::from_shape_vec(IxDyn(&self.dims), x.to_vec()).expect("as many values");
        let x = Array::floats(self.dtype, x).expect("a float type");
        session.run(&[(&self.name, x)]).map_err(|error| error.to_string())
    }
}

/// The affine map of one float output at the point, as measured or as the rule says.
struct Affine {
    name: String,
    value: Array1<f64>,
    jacobian: Array2<f64>,
}

impl Affine {
    fn changes(&self) -> bool {
        self.jacobian.iter().any(|&slope| slope != 0.0)
    }
}

impl Case {
    /// Asserts that the Jacobians in both directions are those of the operator, and that values,
    /// biases, shapes and types fit: for each input alone, and for all together.
    #[track_caller]
    pub fn check(&self) {
        let inputs = self.inputs();
        assert!(!inputs.is_empty(), "{self}: nothing changes");
        for &index in &inputs {
            self.check_changing(Changing::One(index));
        }
        if inputs.len() > 1 && !self.is_dynamic() {
            self.check_changing(Changing::Flat);
        }
    }

    /// [`Case::check`] where some output changes with all inputs together only.
    #[track_caller]
    pub fn check_together(&self) {
        self.check_changing(Changing::Flat);
    }

    /// Asserts that the Jacobian of the only output by the only input is `rows`, in both directions,
    /// where no difference can tell.
    #[track_caller]
    pub fn jacobian(&self, rows: &[&[f64]]) {
        let (index, x) = (self.inputs()[0], self.values_of(self.inputs()[0]));
        let wanted: Vec<f64> = rows.concat();
        for direction in [Direction::Reverse, Direction::Forward] {
            let outputs = self.augmented(Changing::One(index), &["y0".into()], direction).run(&x);
            let found = outputs["slp/y0/weights"].to_f64();
            assert_eq!(found.iter().copied().collect::<Vec<_>>(), wanted, "{self} {direction}");
        }
    }

    /// Asserts that every value that the model keeps finite has finite weights and a finite bias, by
    /// each input alone and by all together, in both directions.
    #[track_caller]
    pub fn stays_finite(&self) {
        let mut ways: Vec<_> = self.inputs().into_iter().map(Changing::One).collect();
        if ways.len() > 1 {
            ways.push(Changing::Flat);
        }
        for changing in ways {
            let x = self.point(changing);
            for direction in [Direction::Reverse, Direction::Forward] {
                let outputs = self.augmented(changing, &["y0".into()], direction).run(&x);
                let get = |name: &str| outputs[&format!("slp/y0/{name}")].to_f64();
                let (values, weights, bias) = (get("activity"), get("weights"), get("bias"));
                let rows = weights.axis_iter(Axis(0)).zip(&bias);
                for ((i, value), (row, bias)) in values.iter().enumerate().zip(rows) {
                    let finite = bias.is_finite() && row.iter().all(|w| w.is_finite());
                    assert!(
                        finite || !value.is_finite(),
                        "{self} {direction} at {x:?}: value {i} is {value}, its weights {row}, its bias {bias}"
                    );
                }
            }
        }
    }

    /// Whether an output is said not to change.
    fn is_constant(&self, changing: Changing, name: &str) -> bool {
        let options = Options { layers: vec![layer(name)], ..options() };
        let error = transform(self.model(changing), &options).err();
        error.is_some_and(|error| error.to_string().contains("does not change with the input"))
    }

    /// The values of the inputs that change.
    fn point(&self, changing: Changing) -> Vec<f64> {
        match changing {
            Changing::One(index) => self.values_of(index),
            _ => self.inputs().iter().flat_map(|&index| self.values_of(index)).collect(),
        }
    }

    #[track_caller]
    fn check_changing(&self, changing: Changing) {
        let x = self.point(changing);
        let runner = self.runner(changing, self.model(changing));
        let mut measured = self.measure(&runner, &x);
        assert!(!measured.is_empty(), "{self} has no float output");
        if measured.len() > 1 {
            measured.retain(|m| m.changes() || !self.is_constant(changing, &m.name));
        }
        let names: Vec<String> = measured.iter().map(|m| m.name.clone()).collect();
        let mut both = Vec::new();
        for direction in [Direction::Reverse, Direction::Forward] {
            let outputs = self.augmented(changing, &names, direction).run(&x);
            let of = |m: &Affine| {
                let what = format!("{self}: d {}/d {} {direction}", m.name, runner.name);
                self.check_output(&what, &outputs, m, &x, &runner.dims)
            };
            both.push(measured.iter().map(of).collect::<Vec<_>>());
        }
        let exact = Precision::of(self.dtype).exact;
        for (reverse, forward) in both[0].iter().zip(&both[1]) {
            let what = format!("{self}: forward against reverse");
            close(&what, reverse.view().into_dyn(), forward.view().into_dyn(), exact, 0.0);
        }
        self.note("right");
    }

    /// The float outputs and their central differences.
    fn measure(&self, runner: &Runner, x: &[f64]) -> Vec<Affine> {
        let step = Precision::of(self.dtype).step;
        let flat = |outputs: &Outputs, name: &str| {
            let values = outputs[name].to_f64();
            Array1::from_iter(values.iter().copied())
        };
        let outputs = runner.run(x);
        let floats = self.outputs.iter().map(|i| format!("y{i}"));
        let floats = floats.filter(|name| outputs[name].dtype() == self.dtype);
        let mut measured: Vec<Affine> = floats
            .map(|name| {
                let value = flat(&outputs, &name);
                let jacobian = Array2::zeros((value.len(), x.len()));
                Affine { name, value, jacobian }
            })
            .collect();
        let moved = |place: usize| {
            let by = if place.is_multiple_of(2) { step } else { -step };
            x.iter().enumerate().map(|(i, v)| if i == place / 2 { v + by } else { *v }).collect()
        };
        let outputs = runner.run_all(&(0..2 * x.len()).map(moved).collect::<Vec<_>>());
        for (i, pair) in outputs.chunks(2).enumerate() {
            for m in &mut measured {
                let slope = (flat(&pair[0], &m.name) - flat(&pair[1], &m.name)) / (2.0 * step);
                m.jacobian.index_axis_mut(Axis(1), i).assign(&slope);
            }
        }
        measured
    }

    /// Checks what the augmented model says of one output; gives its Jacobian.
    #[track_caller]
    fn check_output(
        &self,
        what: &str,
        outputs: &Outputs,
        measured: &Affine,
        x: &[f64],
        input: &[usize],
    ) -> Array2<f64> {
        let Precision { difference, exact, .. } = Precision::of(self.dtype);
        let count = measured.value.len();
        let get = |name: &str, dims: &[usize]| {
            let array = &outputs[&format!("slp/{}/{name}", measured.name)];
            assert_eq!(array.shape(), dims, "{what}: the shape of {name}");
            assert_eq!(array.dtype(), self.dtype, "{what}: the type of {name}");
            array.to_f64()
        };
        let values = &measured.value;
        let size = values.iter().fold(0f64, |a, v| a.max(v.abs()));
        let activity = get("activity", &[count]);
        close(&format!("{what}: activity"), values.view().into_dyn(), activity.view(), 0.0, 0.0);
        let dims: Vec<usize> = std::iter::once(count).chain(input.iter().copied()).collect();
        let weights = get("weights", &dims);
        let shape = (count, x.len());
        let weights = weights.to_shape(shape).expect("as many weights").to_owned();
        // Single precision kernels approximate tanh and the like to about 1e-7, whatever its size.
        let floor = if self.dtype == DataType::F64 { 0.0 } else { size.max(0.3) };
        let (wanted, found) = (measured.jacobian.view().into_dyn(), weights.view().into_dyn());
        close(&format!("{what}: weights"), wanted, found, difference, floor);

        let x = Array1::from_vec(x.to_vec());
        let linear = weights.dot(&x);
        let size =
            weights.mapv(f64::abs).dot(&x.mapv(f64::abs)).iter().fold(size, |a, &v| a.max(v));
        let rest = (values - &linear).into_dyn();
        let bias = get("bias", &[count]);
        close(&format!("{what}: bias"), rest.view(), bias.view(), exact, 10.0 * size);
        let terms = &outputs[&format!("slp/{}/bias-terms", measured.name)];
        let terms = get("bias-terms", &[count, terms.shape()[1]]).sum_axis(Axis(1));
        close(&format!("{what}: bias-terms"), bias.view(), terms.view(), exact, 10.0 * size);
        weights
    }

    fn augmented(&self, changing: Changing, names: &[String], direction: Direction) -> Runner {
        let limits = Limits { direction: Some(direction), ..Limits::default() };
        let layers = names.iter().map(|name| layer(name)).collect();
        let options = Options { layers, limits, ..options() };
        let (model, _) = transform(self.model(changing), &options)
            .unwrap_or_else(|error| panic!("{self}: {error}"));
        self.runner(changing, model)
    }

    fn runner(&self, changing: Changing, model: Model) -> Runner {
        let (name, dims) = match changing {
            Changing::One(index) => (self.floats(index).name.as_str(), self.floats(index).dims()),
            _ => (FLAT, vec![self.inputs().iter().map(|&i| self.floats(i).len()).sum()]),
        };
        let ready = || {
            let bytes = onnx::to_bytes(&model)?;
            let shapes = [(name.to_owned(), dims.clone())];
            match self.engine {
                Engine::Tract => Session::new(&bytes, &shapes).map(Ready::Tract),
                engine => Ok(Ready::Outside(engine, bytes)),
            }
        };
        let engine = ready().unwrap_or_else(|error| {
            panic!("{self}: {error}\n{}", onnx::text::print_graph_with_shapes(&model.graph))
        });
        Runner { case: self.to_string(), engine, name: name.to_owned(), dims, dtype: self.dtype }
    }
}

impl super::Floats {
    fn dims(&self) -> Vec<usize> {
        self.dims.iter().map(|&d| d as usize).collect()
    }
}

/// Asserts that no entry is off by more than `tolerance` times the largest wanted magnitude, or
/// times `floor` if that is more.
#[track_caller]
fn close(
    what: &str,
    wanted: ndarray::ArrayViewD<f64>,
    found: ndarray::ArrayViewD<f64>,
    tolerance: f64,
    floor: f64,
) {
    let most = tolerance * wanted.iter().fold(floor, |a, v| a.max(v.abs()));
    let worst = wanted
        .indexed_iter()
        .zip(found)
        .map(|((at, w), f)| (at.slice().to_vec(), *w, *f, (w - f).abs()))
        .max_by(|a, b| a.3.total_cmp(&b.3));
    let Some((at, wanted, found, error)) = worst else { return };
    assert!(
        error <= most,
        "{what}: entry {at:?} is {found:.12}, expected {wanted:.12}: off by {error:.2e}, more than {most:.2e}"
    );
}
