//! `lucida train`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use lucida::data::{Augment, Fit, PreprocessingChoice};
use lucida::nn::LossKind;
use lucida::train::{Head, Monitor};

use super::distributed::DistributedArgs;
use super::place::result_folder;
use crate::arguments::{ClassWeights, Size, known_networks};
use crate::numbers::{part, positive, whole};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Examples:
  lucida train photos
      a sub-folder of images for each class
  lucida train photos --augment width=0.2,height=0.2,shear=0.2,zoom=0.2,flip
  lucida train photos --steps-per-epoch 100 --validation-steps 50 \\
      --early-stopping 5
  lucida train photos --model vgg16
      a new head on VGG16: lucida weights fetch vgg16
  lucida train photos --model inception-v3 --cut mixed7 \\
      --head flatten,dense:1024,dropout:0.2
  lucida train photos --model vgg16 --unfreeze block5_conv1 --learning-rate 1e-4
  lucida train photos --base runs/mine --cut dense
      a new head on a model of your own
  lucida train photos --find-lr
      which learning rate to take
  lucida train photos --tui
      a dashboard: curves, throughput, images
  lucida train photos --out runs/a --resume
      resume where it was stopped, or killed
  lucida train photos --continue runs/a
      more photos or other classes: start from the weights of a run
  lucida train photos --channels 1 --size 64
      a network for gray images
  lucida train mnist --epochs 5
      digits: see lucida train mnist --help
  lucida train ./mnist
      a folder of your own that is called mnist

A folder with the parts train and validation (or val, test) is taken as it is; of any other, a fifth validates. Two classes \
are classified with one sigmoid, more with a softmax. The run folder then holds model.safetensors (the epoch of the least \
validation loss, or as --monitor says), last.safetensors, history.csv, curves.png, curves.svg, and skipped.csv if files \
cannot be used. Ctrl-C stops and saves what there is, with checkpoint.safetensors to resume from.")]
pub(crate) struct Train {
    #[command(subcommand)]
    pub(crate) known: Option<TrainKnown>,

    #[command(flatten)]
    pub(crate) folder: TrainFolder,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrainKnown {
    /// A small network for handwritten digits, of 113,514 parameters
    Mnist(TrainMnist),
}

#[derive(Debug, Args)]
pub(crate) struct TrainFolder {
    /// Folder of images with a sub-folder for each class
    #[arg(value_name = "FOLDER", required = true, value_hint = ValueHint::DirPath)]
    pub(crate) folder: Option<PathBuf>,

    /// Network: one that ImageNet has taught (vgg16, vgg19, inception-v3) is frozen and gets a new head; others are trained
    /// from scratch, unless there are --weights
    #[arg(long, value_name = "NAME", default_value = "basic-cnn", value_parser = known_networks())]
    pub(crate) model: String,

    /// The weights of --model [default: those in the cache]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) weights: Option<PathBuf>,

    /// A model of your own to put a new head on: a model file, or the folder of a run
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath, conflicts_with_all = ["model", "weights"])]
    pub(crate) base: Option<PathBuf>,

    /// Size of the images in pixels, as in 224, or HEIGHTxWIDTH [default: 150; 28 for lenet5 and mnist-cnn; that of the
    /// model with --base]
    #[arg(long, visible_alias = "image-size")]
    pub(crate) size: Option<Size>,

    /// Train a model further: a run folder or model file whose weights are the start. Its classes keep what they have
    /// learned; new ones are added, missing ones removed
    #[arg(long = "continue", value_name = "RUN", value_hint = ValueHint::AnyPath)]
    #[arg(conflicts_with_all = ["model", "weights", "base", "size", "cut", "head", "fit", "preprocessing", "channels"])]
    pub(crate) continued: Option<PathBuf>,

    /// Input channels of a network trained from scratch: 1 (gray) or 3 (color) [default: what the network was made for]
    #[arg(long, value_name = "N", value_parser = whole::<u8>(1..=3))]
    pub(crate) channels: Option<u8>,

    /// The last layer that is kept of a base [default: its last one; of --base, the last one before its classes]
    #[arg(long, value_name = "LAYER", help_heading = "Transfer learning")]
    pub(crate) cut: Option<String>,

    /// New layers behind a base, before the one that tells the classes: flatten, gap, gmp, dense:UNITS, dropout:PART, bn,
    /// standardize [default: standardize,flatten,dropout:0.5, without flatten where there is nothing to flatten]
    #[arg(long, value_name = "LAYER,...", help_heading = "Transfer learning")]
    pub(crate) head: Option<Head>,

    /// Train the base from this layer on as well; its batch normalizations stay as they are
    #[arg(long, value_name = "LAYER", help_heading = "Transfer learning")]
    pub(crate) unfreeze: Option<String>,

    /// Learning rate of the unfrozen layers
    #[arg(long, visible_alias = "unfreeze-lr", value_name = "RATE", default_value = "1e-5", value_parser = positive, requires = "unfreeze")]
    #[arg(help_heading = "Transfer learning")]
    pub(crate) unfreeze_rate: f64,

    /// Run a frozen base over N augmented copies of each image and cache its features, rather than anew in
    /// each epoch
    #[arg(long, value_name = "N", requires = "augment", value_parser = whole::<u32>(1..=1000))]
    #[arg(help_heading = "Transfer learning")]
    pub(crate) augment_copies: Option<u32>,

    /// Folder for the cached features of a frozen base [default: features in the cache folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Transfer learning")]
    pub(crate) features: Option<PathBuf>,

    /// What happens to images of another aspect ratio [default: that of the base, else stretch]
    #[arg(long, value_enum)]
    pub(crate) fit: Option<Fit>,

    /// Pixel values that the network takes: unit (0..1), tf (-1..1), caffe (BGR minus the mean color), torch (ImageNet mean
    /// and std), raw (0..255), or mean=..,std=..; then rgb, bgr, or gray, separated by commas [default: those that the
    /// network was made for]
    #[arg(long, value_name = "FORMAT", alias = "pixels")]
    pub(crate) preprocessing: Option<PreprocessingChoice>,

    /// Augment the training images; `lucida data augment --help` names all
    #[arg(long, value_name = "NAME[=VALUE],...")]
    pub(crate) augment: Option<Augment>,

    /// Fraction of the images for validation, if the folder has no part for it
    #[arg(long, value_name = "PART", default_value = "0.2", value_parser = part)]
    pub(crate) validation_split: f64,

    /// Fail on unreadable images instead of skipping them
    #[arg(long)]
    pub(crate) strict: bool,

    /// Memory for decoded images in MB [default: a quarter of the free memory]
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N")]
    pub(crate) cache_mb: Option<u64>,

    /// Epochs: passes over the training images, or --steps-per-epoch [default: 15; 50 for a head on a frozen base]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) epochs: Option<u32>,

    /// Batch size
    #[arg(long, visible_alias = "bs", value_name = "N", default_value = "32", value_parser = whole::<u32>(1..=65_536))]
    pub(crate) batch_size: u32,

    /// Seed of all random numbers: equal seeds give equal models
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    /// Folder for the run [default: runs/NAME-OF-FOLDER, or runs/NAME-OF-FOLDER-2, and so on]
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    pub(crate) out: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) training: TrainingArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida train mnist                      the 10,000 built-in digits
  lucida train mnist --data DIR           MNIST's files in DIR, gzipped or not
  lucida train mnist --epochs 5 --seed 1 --out runs/a
  lucida train mnist --augment rotation=10,width=0.1,height=0.1,zoom=0.1 \\
      --epochs 30
  lucida train mnist | tee training.log   one line an epoch

A fifth of the training digits validates. The run folder then holds model.safetensors (the epoch of the least \
validation loss), last.safetensors, history.csv, curves.png and curves.svg. Ctrl-C stops and saves what there is, with \
checkpoint.safetensors to resume from.")]
pub(crate) struct TrainMnist {
    /// Folder with MNIST's files [default: the built-in 10,000 digits]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,

    /// Epochs: passes over the training digits
    #[arg(long, value_name = "N", default_value = "20", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) epochs: u32,

    /// Batch size
    #[arg(long, visible_alias = "bs", value_name = "N", default_value = "256", value_parser = whole::<u32>(1..=65_536))]
    pub(crate) batch_size: u32,

    /// Augment the training digits, as in rotation=10,width=0.1,height=0.1,zoom=0.1; `lucida data augment --help` names all
    #[arg(long, value_name = "NAME[=VALUE],...")]
    pub(crate) augment: Option<Augment>,

    /// Seed of all random numbers: equal seeds give equal models
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    /// Folder for the run [default: runs/mnist, or runs/mnist-2, and so on]
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    pub(crate) out: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) training: TrainingArguments,
}

/// Options of every training.
#[derive(Debug, Args)]
pub(crate) struct TrainingArguments {
    /// Overwrite a run that already exists
    #[arg(long)]
    pub(crate) force: bool,

    /// Resume from the checkpoint of a run that was stopped or killed: repeat its command line with this added. The weights
    /// in the end are those of a run that was never stopped
    #[arg(long, conflicts_with = "force")]
    pub(crate) resume: bool,

    /// As --resume, but start a new run where there is none: for a command that a scheduler starts again
    #[arg(long, conflicts_with_all = ["force", "resume"])]
    pub(crate) auto_resume: bool,

    /// Keep checkpoint.safetensors when the training is done: to resume it later for more --epochs
    #[arg(long)]
    pub(crate) keep_checkpoint: bool,

    /// Find a learning rate instead of training: the loss at learning rates from 1e-7 up, in lr-finder.csv, .png and .svg
    #[arg(long, conflicts_with_all = ["resume", "auto_resume"])]
    pub(crate) find_lr: bool,

    /// Show the training as a dashboard: curves, throughput, images
    #[arg(long)]
    pub(crate) tui: bool,

    /// Print one JSON object about the training when it is done, and nothing else
    #[arg(long, conflicts_with_all = ["tui", "find_lr"])]
    pub(crate) json: bool,

    /// Write event files for TensorBoard, into tensorboard/ in the folder of the run
    #[arg(long)]
    pub(crate) tensorboard: bool,

    /// Write a checkpoint every N steps too, not only after each epoch
    #[arg(long, value_name = "STEPS", value_parser = whole::<u32>(1..), help_heading = "Training")]
    pub(crate) checkpoint_every: Option<u32>,

    /// Steps per epoch [default: one pass over the data]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..), help_heading = "Training")]
    pub(crate) steps_per_epoch: Option<u32>,

    /// Validation batches after each epoch, the same each time [default: all]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..), help_heading = "Training")]
    pub(crate) validation_steps: Option<u32>,

    /// Optimizer
    #[arg(long, value_enum, default_value_t = OptimizerName::Adam, help_heading = "Training")]
    pub(crate) optimizer: OptimizerName,

    /// Learning rate [default: 1e-3; 3e-4 for a head on a frozen base]
    #[arg(long, visible_alias = "lr", value_name = "RATE", value_parser = positive, help_heading = "Training")]
    pub(crate) learning_rate: Option<f64>,

    /// Learning rate schedule: cosine falls to 0 over all epochs
    #[arg(long, visible_alias = "lr-schedule", value_enum, default_value_t = ScheduleName::Constant, help_heading = "Training")]
    pub(crate) schedule: ScheduleName,

    /// Linear warm-up steps of the learning rate
    #[arg(long, visible_alias = "warmup", value_parser = whole::<u32>(..), value_name = "STEPS", default_value_t = 0, help_heading = "Training")]
    pub(crate) warm_up: u32,

    /// Loss: categorical_crossentropy, sparse_categorical_crossentropy, binary_crossentropy, mean_squared_error (mse),
    /// mean_absolute_error (mae), huber or huber:DELTA [default: the cross-entropy of the last activation]
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    pub(crate) loss: Option<LossKind>,

    /// Metric that selects the best epoch; the loss is class-weighted with --class-weights
    #[arg(long, value_enum, default_value_t = Monitor::Loss, help_heading = "Training")]
    pub(crate) monitor: Monitor,

    /// Stop after this many epochs without improvement; 0 trains all epochs [default: 0; 5 for a head on a frozen base]
    #[arg(long, visible_alias = "patience", value_parser = whole::<u32>(..), value_name = "EPOCHS", help_heading = "Training")]
    pub(crate) early_stopping: Option<u32>,

    /// Reduce the learning rate after this many epochs without improvement
    #[arg(long, value_name = "EPOCHS", value_parser = whole::<u32>(1..), help_heading = "Training")]
    pub(crate) reduce_on_plateau: Option<u32>,

    /// Factor of --reduce-on-plateau
    #[arg(long, value_name = "FACTOR", default_value = "0.1", value_parser = part, help_heading = "Training")]
    pub(crate) plateau_factor: f64,

    /// Class weights: balanced, or a weight for each, as in cats=1,dogs=2.5
    #[arg(long, visible_alias = "class-weight", value_name = "balanced|NAME=WEIGHT,...", help_heading = "Training")]
    pub(crate) class_weights: Option<ClassWeights>,

    /// Label smoothing: the fraction of each target that is distributed over all classes
    #[arg(long, value_name = "PART", value_parser = part, help_heading = "Training")]
    pub(crate) label_smoothing: Option<f64>,

    /// Decoupled weight decay
    #[arg(long, visible_alias = "wd", value_name = "PART", value_parser = positive, help_heading = "Training")]
    pub(crate) weight_decay: Option<f64>,

    /// Clip gradients to this global norm
    #[arg(long, visible_alias = "clip-grad", alias = "clipnorm", value_name = "NORM", value_parser = positive, help_heading = "Training")]
    pub(crate) clip_norm: Option<f64>,

    /// Keep an exponential moving average (EMA) of the weights with this decay, as in 0.999
    #[arg(long, value_name = "DECAY", value_parser = part, help_heading = "Training")]
    pub(crate) ema: Option<f64>,

    #[command(flatten)]
    pub(crate) together: DistributedArgs,
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
