//! `lucida train`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use lucida::data::{Augment, Fit, PreprocessingChoice};
use lucida::nn::LossKind;
use lucida::train::{Head, Monitor, OnNan};
use lucida::weights::CLASSIFIER;

use super::distributed::DistributedArgs;
use super::labels::{GroupArguments, LabelArguments};
use super::place::result_folder;
use crate::arguments::{ClassWeights, Size, known_networks};
use crate::numbers::{part, positive, whole};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Examples:
  lucida train photos
      a folder with a sub-folder of images per class: a new head on the built-in
      EfficientNet-Lite0 (transfer learning)
  lucida train photos --model basic-cnn
      a small network, trained from scratch
  lucida train photos --augment width=0.2,height=0.2,shear=0.2,zoom=0.2,flip
  lucida train photos --model basic-cnn --steps-per-epoch 100 \\
      --validation-steps 50 --early-stopping 5
  lucida train photos --model vgg16
      a new head on VGG16 (lucida weights fetch vgg16)
  lucida train photos --model inception-v3 --cut mixed7 \\
      --head flatten,dense:1024,dropout:0.2
  lucida train photos --model vgg16 --unfreeze block5_conv1 --learning-rate 1e-4
      fine-tuning: the last block of the base is trained too
  lucida train photos --base runs/mine --cut dense
      a new head on your own model
  lucida train photos --find-lr
      learning rate range test
  lucida train photos --tui
      a dashboard in the terminal: curves, throughput, images
  lucida train photos --out runs/a --resume
      resume an interrupted run
  lucida train photos --continue runs/a
      start from the weights of another run: more photos, other classes
  lucida train photos --model basic-cnn --channels 1 --size 64
      grayscale images
  lucida train --labels labels.csv --images photos
      labels from a table: classes, several labels, or numbers
  lucida train photos --label-pattern '{class}_*.jpg'
      the class in the file name
  lucida train --labels xrays.csv --group patient --folds 5
      cross-validation; all images of a patient in one fold
  lucida train mnist --epochs 5
      MNIST: see lucida train mnist --help
  lucida train ./mnist
      your own folder named mnist

If the folder has the parts train and validation (or val, and test), they are used; otherwise a fifth of the images is held \
out for validation. Two classes are classified with one sigmoid, more with a softmax. The run folder holds \
model.safetensors (the epoch with the lowest validation loss, or by --monitor), last.safetensors, history.csv, curves.png, \
curves.svg, and skipped.csv if files were unreadable. Ctrl-C stops the training and saves the model and a checkpoint to \
resume from.")]
pub(crate) struct Train {
    #[command(subcommand)]
    pub(crate) known: Option<TrainKnown>,

    #[command(flatten)]
    pub(crate) folder: TrainFolder,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrainKnown {
    /// Train mnist-cnn (113,514 parameters) on MNIST's handwritten digits
    Mnist(TrainMnist),
}

#[derive(Debug, Args)]
pub(crate) struct TrainFolder {
    /// Folder of images with a sub-folder per class; with --labels or --label-pattern, of images without
    #[arg(value_name = "FOLDER", required_unless_present_any = ["labels", "images"], conflicts_with = "images")]
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) folder: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) labels: LabelArguments,

    #[command(flatten)]
    pub(crate) groups: GroupArguments,

    /// Cross-validation: train K networks, each validated on another K-th of the images, and report mean and standard
    /// deviation of the metrics. Groups stay whole
    #[arg(long, value_name = "K", value_parser = whole::<u32>(2..=100), help_heading = "Labels and groups")]
    #[arg(conflicts_with_all = ["validation_split", "continued", "find_lr"])]
    pub(crate) folds: Option<u32>,

    /// Network. One with ImageNet weights, built in or published (`lucida models` lists them), is a frozen base with a new head
    /// (transfer learning); others, such as basic-cnn, and all with --weights none are trained from scratch
    #[arg(long, value_name = "NAME", default_value = CLASSIFIER, value_parser = known_networks(), hide_possible_values = true)]
    pub(crate) model: String,

    /// Weights file of --model, or none to train from scratch [default: the downloaded weights]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) weights: Option<PathBuf>,

    /// Your own model as the base of a new head: a model file or run folder
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath, conflicts_with_all = ["model", "weights"])]
    pub(crate) base: Option<PathBuf>,

    /// Input size in pixels: 224, or HEIGHTxWIDTH such as 480x640 [default: 224 for efficientnet-lite0, 28 for lenet5
    /// and mnist-cnn, 150 for others; the model's with --base]
    #[arg(long, visible_alias = "image-size")]
    pub(crate) size: Option<Size>,

    /// Start from the weights of this run folder or model file. Classes that both have keep their weights; new ones are added,
    /// missing ones removed
    #[arg(long = "continue", value_name = "RUN", value_hint = ValueHint::AnyPath)]
    #[arg(conflicts_with_all = ["model", "weights", "base", "size", "cut", "head", "fit", "preprocessing", "channels"])]
    pub(crate) continued: Option<PathBuf>,

    /// Input channels of a network trained from scratch: 1 (grayscale) or 3 (RGB) [default: the network's]
    #[arg(long, value_name = "N", value_parser = whole::<u8>(1..=3))]
    pub(crate) channels: Option<u8>,

    /// Last layer of the base to keep [default: its last layer; with --base, the last one before its classifier]
    #[arg(long, value_name = "LAYER", help_heading = "Transfer learning")]
    pub(crate) cut: Option<String>,

    /// Layers between the base and the output layer: flatten, gap, gmp (global average or max pooling), dense:UNITS,
    /// dropout:RATE, bn, standardize [default: standardize,flatten,dropout:0.5, without flatten if the base ends flat]
    #[arg(long, value_name = "LAYER,...", help_heading = "Transfer learning")]
    pub(crate) head: Option<Head>,

    /// Fine-tune the base from this layer on; its batch normalizations stay frozen
    #[arg(long, value_name = "LAYER", help_heading = "Transfer learning")]
    pub(crate) unfreeze: Option<String>,

    /// Learning rate of the unfrozen layers
    #[arg(long, visible_alias = "unfreeze-lr", value_name = "RATE", default_value = "1e-5", value_parser = positive, requires = "unfreeze")]
    #[arg(help_heading = "Transfer learning")]
    pub(crate) unfreeze_rate: f64,

    /// Cache the frozen base's features of N augmented copies of each image instead of computing them in every epoch
    #[arg(long, value_name = "N", requires = "augment", value_parser = whole::<u32>(1..=1000))]
    #[arg(help_heading = "Transfer learning")]
    pub(crate) augment_copies: Option<u32>,

    /// Folder for the cached features of a frozen base [default: features in the cache folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Transfer learning")]
    pub(crate) features: Option<PathBuf>,

    /// How images of another aspect ratio are fitted [default: the base's, else stretch]
    #[arg(long, value_enum)]
    pub(crate) fit: Option<Fit>,

    /// Preprocessing of images: unit (0..1), tf (-1..1), caffe (BGR minus the mean color), torch (ImageNet mean and std),
    /// raw (0..255), or mean=..,std=..; then rgb, bgr or gray, separated by commas [default: the network's]
    #[arg(long, value_name = "FORMAT", alias = "pixels")]
    pub(crate) preprocessing: Option<PreprocessingChoice>,

    /// Data augmentation of the training images; `lucida data augment --help` lists all kinds
    #[arg(long, value_name = "NAME[=VALUE],...")]
    pub(crate) augment: Option<Augment>,

    /// Fraction of the images held out for validation, if the folder has no validation part
    #[arg(long, value_name = "FRACTION", default_value = "0.2", value_parser = part)]
    pub(crate) validation_split: f64,

    /// Fail on unreadable images instead of skipping them
    #[arg(long)]
    pub(crate) strict: bool,

    /// Memory for decoded images, in MB [default: a quarter of the free memory]
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N")]
    pub(crate) cache_mb: Option<u64>,

    /// Number of epochs, each one pass over the training images or --steps-per-epoch [default: 15; 50 for a head on a frozen
    /// base]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) epochs: Option<u32>,

    /// Batch size
    #[arg(long, visible_alias = "bs", value_name = "N", default_value = "32", value_parser = whole::<u32>(1..=65_536))]
    pub(crate) batch_size: u32,

    /// Random seed: the same seed gives the same model
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    /// Run folder [default: runs/FOLDER, then runs/FOLDER-2, ...]
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    pub(crate) out: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) training: TrainingArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida train mnist                      on the 10,000 built-in digits
  lucida train mnist --data DIR           on MNIST's files in DIR
  lucida train mnist --epochs 5 --seed 1 --out runs/a
  lucida train mnist --augment rotation=10,width=0.1,height=0.1,zoom=0.1 \\
      --epochs 30
  lucida train mnist | tee training.log   one line per epoch

A fifth of the training digits is held out for validation. The run folder holds model.safetensors (the epoch with the \
lowest validation loss), last.safetensors, history.csv, curves.png and curves.svg. Ctrl-C stops the training and saves the \
model and a checkpoint to resume from.")]
pub(crate) struct TrainMnist {
    /// Folder with MNIST's files [default: the built-in 10,000 digits]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,

    /// Number of epochs
    #[arg(long, value_name = "N", default_value = "20", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) epochs: u32,

    /// Batch size
    #[arg(long, visible_alias = "bs", value_name = "N", default_value = "256", value_parser = whole::<u32>(1..=65_536))]
    pub(crate) batch_size: u32,

    /// Data augmentation of the training digits, such as rotation=10,width=0.1,height=0.1,zoom=0.1;
    /// `lucida data augment --help` lists all kinds
    #[arg(long, value_name = "NAME[=VALUE],...")]
    pub(crate) augment: Option<Augment>,

    /// Random seed: the same seed gives the same model
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    /// Run folder [default: runs/mnist, then runs/mnist-2, ...]
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    pub(crate) out: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) training: TrainingArguments,
}

/// Options of every training.
#[derive(Debug, Args)]
pub(crate) struct TrainingArguments {
    /// Overwrite files that already exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Resume an interrupted run from its checkpoint: repeat its command line and add --resume. The result is the same, to the
    /// bit, as without the interruption
    #[arg(long, conflicts_with = "force")]
    pub(crate) resume: bool,

    /// Like --resume, but start a new run if there is none to resume (for job schedulers)
    #[arg(long, conflicts_with_all = ["force", "resume"])]
    pub(crate) auto_resume: bool,

    /// Keep checkpoint.safetensors after the last epoch, to resume later with more --epochs
    #[arg(long)]
    pub(crate) keep_checkpoint: bool,

    /// Run a learning rate range test instead of training: the loss at growing learning rates, in lr-finder.csv, .png and .svg
    #[arg(long, conflicts_with_all = ["resume", "auto_resume"])]
    pub(crate) find_lr: bool,

    /// Show a dashboard in the terminal: curves, throughput, images
    #[arg(long)]
    pub(crate) tui: bool,

    /// Print JSON only, when the training is done
    #[arg(long, conflicts_with_all = ["tui", "find_lr"])]
    pub(crate) json: bool,

    /// Write TensorBoard event files to tensorboard/ in the run folder
    #[arg(long)]
    pub(crate) tensorboard: bool,

    /// Also write a checkpoint every N steps, not only after each epoch
    #[arg(long, value_name = "STEPS", value_parser = whole::<u32>(1..), help_heading = "Training")]
    pub(crate) checkpoint_every: Option<u32>,

    /// Steps per epoch [default: one pass over the data]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..), help_heading = "Training")]
    pub(crate) steps_per_epoch: Option<u32>,

    /// Validation batches after each epoch, the same ones each time [default: all]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..), help_heading = "Training")]
    pub(crate) validation_steps: Option<u32>,

    /// Optimizer
    #[arg(long, value_enum, default_value_t = OptimizerName::Adam, help_heading = "Training")]
    pub(crate) optimizer: OptimizerName,

    /// Learning rate [default: 1e-3; 3e-4 for a head on a frozen base]
    #[arg(long, visible_alias = "lr", value_name = "RATE", value_parser = positive, help_heading = "Training")]
    pub(crate) learning_rate: Option<f64>,

    /// Learning rate schedule; cosine decays to 0 over all epochs
    #[arg(long, visible_alias = "lr-schedule", value_enum, default_value_t = ScheduleName::Constant, help_heading = "Training")]
    pub(crate) schedule: ScheduleName,

    /// Linear warm-up steps of the learning rate
    #[arg(long, visible_alias = "warmup", value_parser = whole::<u32>(..), value_name = "STEPS", default_value_t = 0, help_heading = "Training")]
    pub(crate) warm_up: u32,

    /// Loss: categorical_crossentropy, sparse_categorical_crossentropy, binary_crossentropy, mean_squared_error (mse),
    /// mean_absolute_error (mae), huber or huber:DELTA [default: the cross-entropy of the last activation]
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    pub(crate) loss: Option<LossKind>,

    /// Validation metric that selects the best epoch
    #[arg(long, value_enum, default_value_t = Monitor::Loss, help_heading = "Training")]
    pub(crate) monitor: Monitor,

    /// Early stopping: stop after this many epochs without improvement; 0 disables it [default: 0; 5 for a head on a frozen
    /// base]
    #[arg(long, visible_alias = "patience", value_parser = whole::<u32>(..), value_name = "EPOCHS", help_heading = "Training")]
    pub(crate) early_stopping: Option<u32>,

    /// Reduce the learning rate after this many epochs without improvement
    #[arg(long, value_name = "EPOCHS", value_parser = whole::<u32>(1..), help_heading = "Training")]
    pub(crate) reduce_on_plateau: Option<u32>,

    /// Factor by which --reduce-on-plateau multiplies the learning rate
    #[arg(long, value_name = "FACTOR", default_value = "0.1", value_parser = part, help_heading = "Training")]
    pub(crate) plateau_factor: f64,

    /// Class weights in the loss: balanced, or one per class, such as cats=1,dogs=2.5
    #[arg(long, visible_alias = "class-weight", value_name = "balanced|NAME=WEIGHT,...", help_heading = "Training")]
    pub(crate) class_weights: Option<ClassWeights>,

    /// Label smoothing: the fraction of each target distributed over all classes
    #[arg(long, value_name = "FRACTION", value_parser = part, help_heading = "Training")]
    pub(crate) label_smoothing: Option<f64>,

    /// Decoupled weight decay
    #[arg(long, visible_alias = "wd", value_name = "FRACTION", value_parser = positive, help_heading = "Training")]
    pub(crate) weight_decay: Option<f64>,

    /// Clip gradients to this global norm
    #[arg(long, visible_alias = "clip-grad", alias = "clipnorm", value_name = "NORM", value_parser = positive, help_heading = "Training")]
    pub(crate) clip_norm: Option<f64>,

    /// Keep an exponential moving average (EMA) of the weights with this decay, such as 0.999
    #[arg(long, value_name = "DECAY", value_parser = part, help_heading = "Training")]
    pub(crate) ema: Option<f64>,

    /// What to do with a step whose loss or gradient is NaN or infinite
    #[arg(long, value_name = "ACTION", value_enum, default_value_t = OnNan::Stop, help_heading = "Training")]
    pub(crate) on_nan: OnNan,

    #[command(flatten)]
    pub(crate) distributed: DistributedArgs,
}

impl TrainingArguments {
    /// Whether a run that exists is resumed.
    pub(crate) fn resumes(&self) -> bool {
        self.resume || self.auto_resume
    }
}

/// Optimizers, with Keras's constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OptimizerName {
    Adam,
    Rmsprop,
    /// Gradient descent without momentum
    Sgd,
    /// Gradient descent with Nesterov's momentum of 0.9
    Nesterov,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScheduleName {
    Constant,
    Cosine,
}
