//! What can go wrong, and whose fault it is.
//!
//! An error names the file, the argument or the layer that it is about, gives the offending value, and says what to
//! do where there is something to do. [`Error::blame`] tells a caller whom to address: the binary uses it for nothing
//! but the wording, a server would map it to a status code.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// The result of every fallible call of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the outputs of a network are, where something else is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfit {
    /// Maps of this layer and shape.
    Maps {
        /// The last layer.
        layer: String,
        /// Its shape, without the batch.
        shape: String,
    },
    /// This many features, as far as the network tells.
    Features(usize),
    /// This many features, as the caller said.
    ChosenFeatures(usize),
    /// This many outputs, which cannot be compared with classes.
    Values(usize),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let features = |count: usize| if count == 1 { "1 feature".to_owned() } else { format!("{count} features") };
        match self {
            Self::Maps { layer, shape } => {
                write!(f, "has no layer of classes: its last layer, {layer:?}, has the shape {shape}")
            }
            Self::Features(count) => write!(f, "ends in {}, not in classes", features(*count)),
            Self::ChosenFeatures(count) => {
                write!(f, "has {} as its outputs, which have no meaning one by one", features(*count))
            }
            Self::Values(1) => f.write_str("predicts a number, which cannot be compared with classes"),
            Self::Values(_) => f.write_str("predicts numbers, which cannot be compared with classes"),
        }
    }
}

/// What is to be settled where a table of labels cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableFault {
    /// Its content has to be corrected.
    Content,
    /// Which column has the names of the files.
    FileColumn,
    /// Which columns have the targets.
    TargetColumns,
    /// Whether the targets are classes, labels or values.
    TargetKind,
}

/// `"a"`, `"a" or "b"`, `"a", "b" or "c"`.
fn either(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    match quoted.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => quoted.concat(),
    }
}

/// The message on a name that no network has.
fn unknown_network(name: &str, near: &[&str], file: bool) -> String {
    let start = if file { format!("{name}: no such model file or run folder; ") } else { String::new() };
    let end = if near.is_empty() { String::new() } else { format!("; did you mean {}?", either(near)) };
    format!("{start}unknown network {name:?}{end}")
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file's content is not what it should be.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what was expected.
        problem: String,
    },

    /// A table of labels cannot be used.
    #[error("{}{}: {problem}", path.display(), place_in_table(*row, column.as_deref()))]
    Table {
        /// The table.
        path: PathBuf,
        /// The row in the file; the names of the columns are row 1.
        row: Option<u64>,
        /// The name of the column.
        column: Option<String>,
        /// What is wrong, and what to do.
        problem: String,
        /// What is to be settled.
        fault: TableFault,
    },

    /// An image, where a model is needed.
    #[error("{}: is an image, not a model", path.display())]
    ImageAsModel {
        /// The file.
        path: PathBuf,
    },

    /// The system refused to read or write a file.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: `read`, `write`, `create the folder`.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },

    /// A server could not be reached, or did not answer as it should.
    #[error("{url}: {problem}")]
    Network {
        /// What was asked for.
        url: String,
        /// What went wrong, and what to do.
        problem: String,
    },

    /// A value that the caller gave cannot be used.
    #[error("{0}")]
    Argument(String),

    /// No network has this name.
    #[error("{}", unknown_network(name, near, *file))]
    UnknownNetwork {
        /// The name.
        name: String,
        /// Names that are close to it.
        near: Vec<&'static str>,
        /// Whether a file or folder could have been meant, of which there is none.
        file: bool,
    },

    /// A file that would be overwritten.
    #[error("{} already exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },

    /// A known network whose published weights are not in the cache.
    #[error("the weights of {network} {} its classifier are not in {}", with_or_without(*with_top), folder.display())]
    NotFetched {
        /// The network: `vgg16`.
        network: &'static str,
        /// Whether its classifier is needed.
        with_top: bool,
        /// The cache.
        folder: PathBuf,
    },

    /// A known network of which no weights are published.
    #[error("{network}: this is the name of a network without weights")]
    NoWeights {
        /// The network: `lenet5`.
        network: &'static str,
    },

    /// A file of weights, where a network is needed.
    #[error("{}: {}", path.display(), problem.as_deref().unwrap_or("contains weights but no network"))]
    WeightsOnly {
        /// The file.
        path: PathBuf,
        /// Why they are not those of a known network, if they have the names of one.
        problem: Option<String>,
    },

    /// A file with the weights of a network without its classifier, where that is needed.
    #[error("{}: has the weights of {network} without its classifier, which is needed here", path.display())]
    NoClassifier {
        /// The file.
        path: PathBuf,
        /// The network: `vgg16`.
        network: &'static str,
    },

    /// A training cannot be resumed with another setting than it was started with.
    #[error("{}: this training was started with other settings ({field}: {before} then, {now} now)", path.display())]
    Changed {
        /// The checkpoint.
        path: PathBuf,
        /// The setting that differs: `seed`, or `network, layer dense_1, units`.
        field: String,
        /// Its value in the checkpoint.
        before: String,
        /// The value asked for.
        now: String,
    },

    /// A training has come to values that are not finite: NaN or infinity.
    #[error("step {step} of epoch {epoch}: {problem}{}", kept(checkpoint.as_deref()))]
    NotFinite {
        /// The epoch, from 1.
        epoch: usize,
        /// The step in the epoch, from 1; the last one where the validation data are the cause.
        step: usize,
        /// The first layer with such values, where it is known.
        layer: Option<String>,
        /// What is not finite, where, in which images, and what may help.
        problem: String,
        /// The checkpoint before, which has finite weights.
        checkpoint: Option<PathBuf>,
        /// Whether the training skipped such steps, as far as that is possible.
        skips: bool,
    },

    /// A layer cannot be used as it was asked to be.
    #[error("layer {layer}: {problem}")]
    Layer {
        /// The layer's name.
        layer: String,
        /// What is wrong: a shape rule's message states both shapes.
        problem: String,
    },

    /// An input is larger than a limit that protects the machine.
    #[error("{what}: {got} is over the limit of {limit}")]
    Limit {
        /// What was measured, with its source.
        what: String,
        /// The size found or declared.
        got: u64,
        /// The most that is allowed.
        limit: u64,
    },

    /// The work needs more memory than it may take.
    #[error(
        "{what} needs at least {} of memory, but the limit is {}{}",
        size_in_memory(*needed), size_in_memory(*allowed), what_fits(*largest)
    )]
    Memory {
        /// What is made, and its size.
        what: String,
        /// The memory in bytes for it, in the smallest parts that it can be made in.
        needed: u64,
        /// The memory in bytes that there is for it.
        allowed: u64,
        /// The longer side in pixels of the largest that could be made, if any could.
        largest: Option<usize>,
    },

    /// The input is valid, but this version cannot handle it.
    #[error("{0}")]
    Unsupported(String),

    /// The outputs of a network do not mean what they are to be used for.
    #[error("network {network} {found}")]
    Outputs {
        /// The network's name.
        network: String,
        /// What its outputs are.
        found: Unfit,
    },

    /// The work was stopped on request.
    #[error("interrupted")]
    Interrupted,

    /// An invariant of the library does not hold.
    #[error("{0} (this is a bug in lucida, please report it)")]
    Bug(String),
}

/// `, row 7, column "class"`
fn place_in_table(row: Option<u64>, column: Option<&str>) -> String {
    let row = row.map(|row| format!(", row {row}")).unwrap_or_default();
    row + &column.map(|column| format!(", column {column:?}")).unwrap_or_default()
}

fn with_or_without(with: bool) -> &'static str {
    if with { "with" } else { "without" }
}

/// Bytes in the largest unit that they fill: `256 MiB`, `1.5 GiB`.
fn size_in_memory(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.0} KiB", value / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.0} MiB", value / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", value / f64::from(1 << 30)),
    }
}

/// The end of a message about a training that has a checkpoint.
fn kept(checkpoint: Option<&Path>) -> String {
    checkpoint.map(|path| format!("; the last good checkpoint is kept in {}", path.display())).unwrap_or_default()
}

/// The end of a message about memory.
fn what_fits(largest: Option<usize>) -> String {
    match largest {
        Some(side) => format!("; the largest that fits has a longer side of {side} pixels"),
        None => String::new(),
    }
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blame {
    /// The content of a file.
    File,
    /// The system: a disk, a permission.
    System,
    /// The network, or a server.
    Network,
    /// A value that the caller gave.
    Argument,
    /// A limit of this library, or something it cannot do.
    Library,
    /// Nobody: the work was stopped on request.
    Nobody,
    /// This library, by mistake.
    Bug,
}

impl Error {
    /// A file whose content is not what it should be.
    pub fn file(path: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), problem: problem.into() }
    }

    /// The system's refusal to do `action` with `path`.
    pub fn io(path: impl AsRef<Path>, action: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.as_ref().to_path_buf(), action, source }
    }

    /// A value that cannot be used.
    pub fn argument(problem: impl Into<String>) -> Self {
        Self::Argument(problem.into())
    }

    /// A layer that cannot be used as asked.
    pub fn layer(layer: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Layer { layer: layer.into(), problem: problem.into() }
    }

    /// Whose fault this is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::File { .. }
            | Self::Table { .. }
            | Self::ImageAsModel { .. }
            | Self::WeightsOnly { .. }
            | Self::NoClassifier { .. } => Blame::File,
            Self::Io { .. } => Blame::System,
            Self::Network { .. } => Blame::Network,
            Self::Argument(_)
            | Self::Changed { .. }
            | Self::Exists { .. }
            | Self::Layer { .. }
            | Self::NotFetched { .. }
            | Self::NotFinite { .. }
            | Self::NoWeights { .. }
            | Self::Outputs { .. }
            | Self::UnknownNetwork { .. } => Blame::Argument,
            Self::Limit { .. } | Self::Memory { .. } | Self::Unsupported(_) => Blame::Library,
            Self::Interrupted => Blame::Nobody,
            Self::Bug(_) => Blame::Bug,
        }
    }
}
