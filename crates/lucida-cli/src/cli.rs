//! The command line: commands, options, and their help.

mod activations;
mod augment;
mod bench;
mod deconv;
mod default_model;
mod distributed;
mod doctor;
mod embed;
mod explain;
mod filter;
mod kernels;
mod labels;
mod maximize;
pub(crate) mod place;
mod receptive_field;
mod report;
mod run;
mod serve;
mod studio;
mod style;
mod subject;
mod train;
mod weights;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

pub(crate) use augment::DataAugment;
pub(crate) use bench::{Bench, BenchPlan};
pub(crate) use embed::{Embed, Map};

pub(crate) use activations::Activations;
pub(crate) use deconv::Deconv;
#[cfg_attr(not(feature = "mpi"), allow(unused_imports))]
pub(crate) use distributed::{Bulk, DistributedArgs};
pub(crate) use doctor::Doctor;
pub(crate) use explain::Explain;
pub(crate) use filter::Filter;
pub(crate) use kernels::Kernels;
pub(crate) use labels::LabelArguments;
pub(crate) use maximize::{Classes, DreamArguments, Filters, MaximizeArgs, MethodName};
pub(crate) use receptive_field::ReceptiveField;
pub(crate) use report::ReportArguments;
pub(crate) use run::{ArrayFile, Run};
pub(crate) use serve::Serve;
pub(crate) use studio::Studio;
pub(crate) use style::{
    FastArgs, FastNetwork, KeepColors, MixedStyle, Style, StyleArgs, StyleFrames, StyleOptimizerName, StyleTrain,
    StyleVideo,
};
pub(crate) use subject::Subject;
pub(crate) use train::{OptimizerName, ScheduleName, Train, TrainFolder, TrainKnown, TrainMnist, TrainingArguments};
pub(crate) use weights::{Models, Weights, WeightsConvert, WeightsFetch, WeightsInspect, WeightsList};

use self::place::result_folder;
use crate::arguments::{Bytes, Indices, ModelArguments, Source};
use crate::config;
use crate::numbers::whole;

const EXAMPLES: &str = "\
Examples:
  lucida demo
      train on the built-in digits and write an HTML report
  lucida predict photo.jpg
      classify a photo with the built-in ImageNet classifier
  lucida explain photo.jpg
      attribution maps: Grad-CAM, saliency, LRP, ...
  lucida train mnist --data DIR
      train on MNIST's files in DIR
  lucida train photos
      train a classifier on a folder of photos (transfer learning)
  lucida evaluate runs/mnist --data mnist:DIR
      accuracy, precision and recall, confusion matrix
  lucida predict runs/mnist photo-of-a-7.jpg
      classify a photo with your own model
  lucida summary mnist-cnn
      layers, output shapes, parameters
  lucida activations runs/mnist photo.jpg
      feature maps of every layer
  lucida style photo.jpg painting.jpg -o out.png
      neural style transfer
  lucida weights fetch vgg16
      download VGG16's ImageNet weights
  lucida studio --open
      start the web studio

Environment:
  LUCIDA_THREADS  number of threads, like --threads
  LUCIDA_SIMD     instruction set: scalar, avx2, avx512 or neon
  LUCIDA_CACHE    folder for downloaded weights
  LUCIDA_CONFIG   config file with your defaults for options; empty: none
  LUCIDA_KEY      key of `lucida serve`, like its --key
  NO_COLOR        no colors

Exit codes: 0 success, 1 failure, 2 invalid command line, 130 stopped by Ctrl-C";

/// Train convolutional networks, take them apart, and transfer styles
#[derive(Debug, Parser)]
#[command(name = "lucida", version, max_term_width = 100, after_help = EXAMPLES, subcommand_required = true)]
#[command(arg_required_else_help = true, infer_long_args = false, propagate_version = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command line of this process.
pub(crate) fn parse() -> clap::error::Result<Cli> {
    let mut command = takes_negative_numbers(Cli::command());
    let arguments: Vec<_> = std::env::args_os().collect();
    // These work whatever the defaults; the doctor reports what is wrong with them.
    const UNAFFECTED: [&str; 8] = ["doctor", "help", "man", "completions", "-h", "--help", "-V", "--version"];
    let is_unaffected = arguments.iter().any(|argument| UNAFFECTED.iter().any(|word| argument == word));
    command = match config::with_defaults(command.clone(), &arguments) {
        Ok(command) => command,
        Err(_) if is_unaffected => command,
        Err(problem) => {
            return Err(clap::Error::raw(ErrorKind::ValueValidation, format!("{problem}\n")).with_cmd(&command));
        }
    };
    let arguments = default_model::with_default_model(&command, arguments);
    let cli = Cli::from_arg_matches_mut(&mut command.try_get_matches_from_mut(arguments)?)?;
    // What may have a default of the user's cannot be required of the command line.
    match &cli.command {
        Command::Evaluate(evaluate) if evaluate.data.is_none() && evaluate.labels.folder(None).is_none() => {
            let problem = "no images are given: expected --data, --labels, or --images with --label-pattern";
            Err(command.error(ErrorKind::MissingRequiredArgument, problem))
        }
        _ => Ok(cli),
    }
}

/// Lets every option take a value that begins with `-` and is a number, so that it is the option that says what it expects.
fn takes_negative_numbers(command: clap::Command) -> clap::Command {
    let option = |argument: &clap::Arg| !argument.is_positional() && argument.get_action().takes_values();
    let options = command.mut_args(|argument| match option(&argument) {
        true => argument.allow_negative_numbers(true),
        false => argument,
    });
    options.mut_subcommands(takes_negative_numbers)
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Number of threads [default: all cores, or LUCIDA_THREADS]
    #[arg(long, global = true, value_name = "N", value_parser = whole::<u16>(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// Memory limit, such as 800M or 2G; larger images are stylized in tiles [default: none; style transfer: half of the
    /// free memory]
    #[arg(long, global = true, value_name = "SIZE")]
    pub(crate) memory: Option<Bytes>,

    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Print more details
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train on the built-in digits, explain and stylize a photo, and write an HTML report
    Demo(Demo),

    /// Train a classifier on a folder of images, or on MNIST
    #[command(arg_required_else_help = true)]
    Train(Box<Train>),

    /// Write an HTML report for a training run: curves, confusion matrix, most confident mistakes, Grad-CAM
    Report(ReportArguments),

    /// Print the layers of a network: types, output shapes, parameters
    Summary(Summary),

    /// Evaluate a model on labeled data: loss, accuracy, precision and recall, confusion matrix
    Evaluate(Evaluate),

    /// Classify images
    Predict(Predict),

    /// Run a model on arrays (.npy, .npz, ONNX tensors), and compare its outputs with expected ones
    Run(Run),

    /// Synthesize the input that maximizes each filter of a layer (activation maximization)
    Filters(Filters),

    /// Synthesize the input that maximizes each class score
    Classes(Classes),

    /// Embed images with a layer's features (PCA, t-SNE), and find nearest neighbors
    Embed(Embed),

    /// Show each layer's feature maps
    Activations(Activations),

    /// Project a filter's strongest activations back to pixels (deconvnet)
    Deconv(Deconv),

    /// Print theoretical and effective receptive fields
    ReceptiveField(ReceptiveField),

    /// Show the learned kernels of convolutions
    Kernels(Kernels),

    /// Apply classic filters to an image: Sobel, Laplace, Gauss, Canny
    Filter(Filter),

    /// List the known networks
    #[command(alias = "zoo")]
    Models(Models),

    /// Download published weights; inspect and convert model files
    #[command(subcommand, arg_required_else_help = true)]
    Weights(Weights),

    /// Amplify what a layer responds to in an image (DeepDream)
    Dream(DreamArguments),

    /// Render an image in the style of others (neural style transfer)
    Style(Style),

    /// Stylize video frames with temporal consistency
    StyleFrames(StyleFrames),

    /// Train a network that stylizes images in one pass
    StyleTrain(StyleTrain),

    /// Stylize a video or an animated image
    StyleVideo(StyleVideo),

    /// Explain a prediction: attribution maps and faithfulness scores
    Explain(Explain),

    /// Serve a model over HTTP: images in, predictions out
    Serve(Serve),

    /// Start the web studio
    Studio(Studio),

    /// Show images of a data set, and augmented images
    #[command(subcommand, arg_required_else_help = true)]
    Data(Data),

    /// Benchmark networks on this machine
    #[command(subcommand, arg_required_else_help = true)]
    Bench(Bench),

    /// Check this machine: processor, memory, cache, weights, terminal, config file
    Doctor(Doctor),

    /// Print a completion script for a shell
    Completions(Completions),

    /// Print the manual page, or write the manual pages of all commands
    Man(Man),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida demo
  lucida demo --out /tmp/demo --force

The report evaluates the network on 2,000 of the 10,000 built-in digits that are held out of the training.")]
pub(crate) struct Demo {
    /// Folder for the report: index.html, images, and the model [default: runs/demo, then runs/demo-2, ...]
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    pub(crate) out: Option<PathBuf>,

    /// Overwrite files that already exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Random seed
    #[arg(long, value_parser = whole::<u64>(..), value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida summary mnist-cnn
  lucida summary runs/mnist/model.safetensors
  lucida summary inception-v3 --size 150
  lucida summary model.keras --json | jq '.layers[].name'")]
pub(crate) struct Summary {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida evaluate runs/mnist --data mnist:DIR
      the test digits in DIR
  lucida evaluate runs/mnist --data mnist:DIR --out plots
      with plots of the confusion matrix and the calibration
  lucida evaluate runs/mnist --data mnist --json
      the built-in digits, as JSON
  lucida evaluate runs/cats-dogs --data ./photos --csv all.csv
      a folder with a sub-folder per class
  lucida evaluate runs/rooms --labels rooms.csv --images photos
      a table of labels

Labels from a table have metrics of their own: precision, recall, F1 and average precision of each label, or MAE, RMSE and \
R2 of each value. If the folder has the parts train, validation (or val) and test, the test part is evaluated. Unreadable \
files are skipped and listed; with --out, in skipped.csv.")]
pub(crate) struct Evaluate {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Labeled data: mnist:DIR (MNIST's test digits in a folder), mnist (the built-in digits), or a folder of images with a
    /// sub-folder per class
    #[arg(long, value_name = "mnist[:DIR]|FOLDER", value_hint = ValueHint::DirPath)]
    #[arg(conflicts_with = "images")]
    pub(crate) data: Option<Source>,

    #[command(flatten)]
    pub(crate) labels: LabelArguments,

    /// Part of the folder to evaluate [default: test, else validation, if the folder has parts or the model was trained on it;
    /// otherwise all]
    #[arg(long, value_enum)]
    pub(crate) part: Option<PartName>,

    /// Folder for plots of the confusion matrix and the calibration: confusion.png, calibration.png, and .svg
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    pub(crate) out: Option<PathBuf>,

    /// Write a CSV table: file, class, predicted class, probabilities; - is standard output
    #[arg(long, value_name = "FILE.csv", value_hint = ValueHint::FilePath)]
    pub(crate) csv: Option<PathBuf>,

    /// Overwrite files that already exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Fail on unreadable images instead of skipping them
    #[arg(long)]
    pub(crate) strict: bool,

    /// Folder with the cached features of a frozen base, as `lucida train` writes it [default: features in the cache folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) features: Option<PathBuf>,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}

/// The parts of a folder of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PartName {
    /// All images, including the training images
    All,
    /// The training images
    Train,
    /// The validation images
    Validation,
    /// The test images
    Test,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "lucida predict [OPTIONS] [MODEL] <IMAGE>...\n       lucida predict [OPTIONS] [MODEL] --data <DATA> [--index <INDICES>]\n       lucida predict [OPTIONS] [MODEL] --watch <DIR>"
)]
#[command(after_help = "\
Examples:
  lucida predict photo.jpg
      with the built-in classifier: ImageNet's 1,000 classes
  lucida predict runs/mnist seven.png photo.jpg
      image files of any size
  lucida predict runs/mnist seven.png --verbose
      with the probabilities of all classes
  lucida predict runs/cats-dogs photos
      all images of a folder
  lucida predict runs/cats-dogs -
      a list from standard input: find . -name '*.jpg' | lucida predict runs/cats-dogs -
  lucida predict vgg16 dog.jpg
      after lucida weights fetch vgg16 --with-top
  lucida predict runs/mnist --data mnist:DIR --index 0..10
      the first ten test digits in DIR
  lucida predict runs/mnist --data mnist --index 3,5 --json
      two built-in digits, as JSON
  lucida predict runs/cats-dogs photos --csv all.csv
      all images of a folder, with a table
  lucida predict runs/cats-dogs --watch inbox --csv all.csv
      the images of a folder, and those that come, until Ctrl-C
  lucida predict runs/cats-dogs --data ./photos --distributed mpi --out runs/all
      sharded over all MPI processes

If a digit classifier finds no digit in an image, a note says so; --json then has \"digit_found\": false, and --csv the column \
digit_found.")]
pub(crate) struct Predict {
    #[command(flatten)]
    pub(crate) model: ModelArguments,

    /// Images (JPEG, PNG, BMP, GIF, TIFF or WebP), folders of images, or - for standard input: an image, or a list of paths,
    /// one per line
    #[arg(value_name = "IMAGE", value_hint = ValueHint::AnyPath)]
    #[arg(required_unless_present_any = ["data", "watch"], conflicts_with_all = ["data", "watch"])]
    pub(crate) images: Vec<PathBuf>,

    /// Data set: mnist:DIR (MNIST's test digits in a folder), mnist (the built-in digits), or a folder of images, with or
    /// without a sub-folder per class
    #[arg(long, value_name = "mnist[:DIR]|FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<Source>,

    /// Indices of images in the data set, from 0: 3, 0..10 (10 excluded), 0,5,9 [default: all images of a folder]
    #[arg(long, alias = "indices", value_name = "INDICES", requires = "data", conflicts_with = "images")]
    pub(crate) index: Option<Indices>,

    /// Watch a folder: predict its images, then each new one once it is complete, until Ctrl-C. --csv adds a row at a time and
    /// continues an existing table; --json prints a line per image
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["data", "distributed"])]
    pub(crate) watch: Option<PathBuf>,

    /// Print the N most probable classes of each image [default: 5 for one image of a model with more than 10 classes]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=1000), conflicts_with = "json")]
    pub(crate) top: Option<u16>,

    /// Write a CSV table: file, class if known, predicted class, probabilities; - is standard output
    #[arg(long, value_name = "FILE.csv", value_hint = ValueHint::FilePath)]
    pub(crate) csv: Option<PathBuf>,

    /// Overwrite files that already exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Fail on unreadable images instead of skipping them
    #[arg(long, requires = "data", conflicts_with = "images")]
    pub(crate) strict: bool,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) bulk: Bulk,

    /// Folder for the results of --distributed [default: named after the images, as in photos-predict]
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    #[arg(requires = "distributed", help_heading = "Several machines")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Show the first digits of MNIST with their labels
    Show(DataShow),

    /// Show augmented images on a contact sheet
    Augment(DataAugment),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida data show mnist --first 10
  lucida data show mnist --first 50 --out digits.png
  lucida data show mnist --data DIR --test")]
pub(crate) struct DataShow {
    /// Data set
    pub(crate) set: SetName,

    /// Number of digits
    #[arg(long, value_name = "N", default_value = "10", value_parser = whole::<u32>(1..=100_000))]
    pub(crate) first: u32,

    /// Folder with MNIST's files [default: the built-in 10,000 digits]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data: Option<PathBuf>,

    /// Show the test digits of the folder instead of its training digits
    #[arg(long, requires = "data")]
    pub(crate) test: bool,

    /// Write an image (.png, .tif or .jpg) instead of drawing in the terminal; - is standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,

    /// Overwrite files that already exist
    #[arg(long)]
    pub(crate) force: bool,

    /// Print JSON only
    #[arg(long)]
    pub(crate) json: bool,
}

/// The data sets that can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SetName {
    /// Handwritten digits of 28x28 pixels
    Mnist,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida completions bash > ~/.local/share/bash-completion/completions/lucida
  lucida completions zsh > \"${fpath[1]}/_lucida\"
  lucida completions fish > ~/.config/fish/completions/lucida.fish")]
pub(crate) struct Completions {
    /// Shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lucida man | man -l -
  lucida man --out ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Folder for the manual pages of all commands: lucida.1, lucida-train.1, ...
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = result_folder())]
    pub(crate) out: Option<PathBuf>,

    /// Overwrite files that already exist
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;
    use std::path::PathBuf;

    use clap::{CommandFactory, Parser};

    #[test]
    fn the_definition_is_consistent() {
        super::Cli::command().debug_assert();
    }

    /// The check above does nothing in builds without debug assertions, as those of the tests.
    #[test]
    fn every_option_has_a_name_of_its_own() {
        fn check(command: &clap::Command) {
            let mut names: Vec<String> = Vec::new();
            for argument in command.get_arguments() {
                names.push(format!("<{}>", argument.get_id()));
                names.extend(argument.get_long().map(|long| format!("--{long}")));
                names.extend(argument.get_all_aliases().unwrap_or_default().iter().map(|alias| format!("--{alias}")));
            }
            names.sort();
            let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
            assert!(twice.is_none(), "{}: {twice:?}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&super::Cli::command());
    }

    /// Whatever the option, a value that it cannot take gets an answer in plain words: what was expected, and what was
    /// given.
    #[test]
    fn every_option_says_what_it_expects() {
        const WRONG: &str = "?!";
        fn check(command: &clap::Command, path: &[&str], count: &mut usize) {
            for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
                let Some(long) = argument.get_long() else { continue };
                let option = format!("--{long}={WRONG}");
                let line = path.iter().copied().chain([option.as_str()]);
                let message = match super::Cli::try_parse_from(line) {
                    Err(error) => crate::exit::with_plain_message(error).to_string(),
                    Ok(_) => String::new(),
                };
                // Any text and any path is taken; what is then missing are other arguments.
                if message.is_empty() || message.contains("required arguments") {
                    let takes = argument.get_value_parser().type_id();
                    let free = [
                        TypeId::of::<String>(),
                        TypeId::of::<PathBuf>(),
                        TypeId::of::<super::run::ArrayFile>(),
                        TypeId::of::<crate::arguments::ClassChoice>(),
                        TypeId::of::<super::FastNetwork>(),
                        TypeId::of::<super::MixedStyle>(),
                    ];
                    let is_free = free.iter().any(|free| takes == *free);
                    assert!(is_free, "{path:?} {option}: {message}");
                    continue;
                }
                let says = ["expected ", "there are ", "there is no "].iter().any(|words| message.contains(words));
                let clean = ["invalid", "digit found", "possible values"].iter().all(|words| !message.contains(words));
                assert!(says && clean && message.contains(WRONG), "{path:?} {option}: {message}");
                *count += 1;
            }
            for inner in command.get_subcommands() {
                let path: Vec<&str> = path.iter().copied().chain([inner.get_name()]).collect();
                check(inner, &path, count);
            }
        }
        let mut count = 0;
        check(&super::Cli::command(), &["lucida"], &mut count);
        assert!(count > 100, "{count}");
    }
}
