//! `lucida run`

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueHint};
use lucida::core::array::Tolerance;
use lucida::weights::{IncludeTop, ModelSpec};

use super::place::result_folder;
use crate::arguments::{Size, known_networks};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida run model.onnx --input x.npy --out results
      every output as results/NAME.npy
  lucida run model.onnx --input x.npy --expect y.npy
      check a conversion against the outputs of the original program
  lucida run two-inputs.onnx --input left=a.npy --input right=b.npy
  lucida run model.onnx --input xs.npz --expect ys.npz
      arrays by their names in the archive
  lucida run model.onnx --test-data test_data_set_0
      ONNX's test data: input_0.pb, ..., output_0.pb, ...
  lucida run model.keras
      print the inputs that the model takes

Arrays have their axes in the order of the model's file: NCHW for ONNX and PyTorch, NHWC for Keras, LiteRT and Lucida. Nothing is \
normalized: the values are those that the network takes. Numbers of any type are read as float32; int8 and uint8 arrays \
for quantized inputs and outputs of a LiteRT file are dequantized.

The exit code is 1 if an output differs from the expected one by more than the tolerance.")]
pub(crate) struct Run {
    /// Model file, run folder, or name of a known network (see `lucida models`)
    #[arg(value_hint = ValueHint::AnyPath, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) model: String,

    /// Weights file, if MODEL is the name of a network [default: the downloaded weights]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "network")]
    pub(crate) weights: Option<PathBuf>,

    /// Name of the network, if MODEL is a file with weights only (see `lucida models`)
    #[arg(long, value_name = "NAME", value_parser = known_networks(), hide_possible_values = true)]
    pub(crate) network: Option<String>,

    /// Input size in pixels: 224, or HEIGHTxWIDTH such as 480x640 [default: the model's]
    #[arg(long)]
    pub(crate) size: Option<Size>,

    /// Input array: .npy, .npz or .pb (ONNX TensorProto); of a model with several inputs in their order, or with a name as in
    /// NAME=FILE
    #[arg(short, long, value_name = "[NAME=]FILE", value_hint = ValueHint::FilePath)]
    pub(crate) input: Vec<ArrayFile>,

    /// Expected output array, to compare with; as --input
    #[arg(short, long, value_name = "[NAME=]FILE", value_hint = ValueHint::FilePath, requires = "input")]
    pub(crate) expect: Vec<ArrayFile>,

    /// Folder with inputs and expected outputs as ONNX's test data have them: input_0.pb, output_0.pb (or .npy)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["input", "expect"])]
    pub(crate) test_data: Option<PathBuf>,

    /// Tolerance: relative to the expected value, then absolute, separated by a comma
    #[arg(long, value_name = "REL[,ABS]", default_value_t = Tolerance::default())]
    pub(crate) tolerance: Tolerance,

    /// Folder for the outputs: NAME.npy for each
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    pub(crate) out: Option<PathBuf>,

    /// Overwrite files that already exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}

impl Run {
    /// What the library is to open: its outputs stay as they are.
    pub(crate) fn spec(&self) -> ModelSpec {
        ModelSpec {
            model: self.model.clone(),
            weights: self.weights.clone(),
            network: self.network.clone(),
            size: self.size.map(|size| [size.height, size.width]),
            top: IncludeTop::Unchanged,
            ..ModelSpec::default()
        }
    }
}

/// A file with an array, and the name of the input or output that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArrayFile {
    pub(crate) name: Option<String>,
    pub(crate) path: PathBuf,
}

impl FromStr for ArrayFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A file may have such a name itself.
        let named = text.split_once('=').filter(|_| !PathBuf::from(text).exists());
        match named {
            _ if text.is_empty() => Err("expected a file, as in x.npy, or NAME=FILE".to_owned()),
            Some((name, path)) if name.is_empty() || path.is_empty() => {
                Err("expected NAME=FILE, as in data=x.npy".into())
            }
            Some((name, path)) => Ok(Self { name: Some(name.to_owned()), path: path.into() }),
            None => Ok(Self { name: None, path: text.into() }),
        }
    }
}
