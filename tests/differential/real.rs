//! The real models, each with one real sample.

use std::path::{Path, PathBuf};

use ndarray::{ArrayD, Axis};
use slpc::cli::data::{Dataset, Wanted};
use slpc::engine::Array;
use slpc::graph::DataType;
use slpc::onnx::load;

use crate::common::{digit, golden};

/// The models, those that the short form tries first.
pub const NAMES: [&str; 14] = [
    "mnist_cntk_ort",
    "mlperf_resnet8_cifar10",
    "2conv_mnist_true",
    "2conv_mnist_random",
    "2conv_mnist_untrained",
    "2conv_cifar10_true",
    "2conv_cifar10_random",
    "2conv_cifar10_untrained",
    "resnet20_cifar10",
    "vit_mnist",
    "mobilenetv1_025_224_imagenet",
    "mobilenetv2_100_224_imagenet_w8",
    "squeezenet11_imagenet",
    "super_resolution",
];

/// The models in half precision, those that the short form tries first: others than the last, which
/// is stored so, are brought to it.
pub const HALF: [&str; 6] = [
    "mnist_cntk_ort",
    "mlperf_resnet8_cifar10",
    "2conv_mnist_true",
    "2conv_cifar10_true",
    "resnet20_cifar10",
    "squeezenet_imagenet_fp16",
];

/// A model with what is asked of it.
pub struct Real {
    pub path: PathBuf,
    pub layer: &'static str,
    pub neurons: &'static str,
    pub dtype: DataType,
    /// Its input by name.
    pub inputs: Vec<(String, Array)>,
}

impl Real {
    pub fn open(folder: &Path, name: &str) -> Self {
        let path = folder.join(format!("models/{name}.onnx"));
        let graph = load(&path).unwrap().graph;
        let free = |input: &&slpc::graph::ValueId| graph.value(**input).tensor.is_none();
        let input = graph.value(*graph.inputs.iter().find(free).expect("an input"));
        let dtype = input.dtype.unwrap();
        let x = sample(folder, name, &input.name);
        let (layer, neurons) = match name {
            "super_resolution" => ("output", "0,226128,451583"),
            _ if name.contains("imagenet") => ("logits", "1,999,207"),
            _ => ("logits", "7,0..1"),
        };
        let x = Array::floats(dtype, x.mapv(f64::from)).unwrap();
        Self { path, layer, neurons, dtype, inputs: vec![(input.name.clone(), x)] }
    }

    /// The same with its sample in half precision.
    pub fn in_half(mut self) -> Self {
        self.dtype = DataType::F16;
        for (_, array) in &mut self.inputs {
            *array = Array::floats(DataType::F16, array.to_f64()).unwrap();
        }
        self
    }

    /// The number of components of the sample.
    pub fn size(&self) -> usize {
        self.inputs[0].1.shape().iter().product()
    }
}

fn sample(folder: &Path, name: &str, input: &str) -> ArrayD<f32> {
    let photo = |file: &str, preprocess: &str, channels: usize| {
        let wanted =
            Wanted { name: input.into(), sample: Some([channels, 224, 224].map(Some).into()) };
        let preprocess = format!("{preprocess},crop=224").parse().unwrap();
        let file = folder.join("images").join(file);
        let data = Dataset::open(&[file], Some(&preprocess), wanted).unwrap().all().unwrap();
        data.values.to_f64().mapv(|v| v as f32)
    };
    match name {
        "vit_mnist" => digit(3),
        "squeezenet_imagenet_fp16" => photo("goldfish.jpg", "caffe", 3),
        "super_resolution" => photo("chelsea.png", "unit,channels=grey", 1),
        _ => {
            let (x, _) = golden(&folder.join(format!("golden/{name}.npz")));
            x.slice_axis(Axis(0), (0..1).into()).to_owned()
        }
    }
}
