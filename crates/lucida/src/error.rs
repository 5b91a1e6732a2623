//! Error kinds, and whose fault an error is.
//!
//! An error names the file, argument or layer at fault, gives the offending value, and suggests a fix where there is one.
//! [`Error::blame`] tells a caller whom to address: the binary uses it only for wording, a server would map it to a status
//! code.

use std::path::{Path, PathBuf};
use std::{fmt, io};

/// The result of every fallible call of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the outputs of a network are, when they do not suit their use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfit {
    /// Feature maps of this layer and shape.
    Maps {
        /// The last layer.
        layer: String,
        /// Its shape, without the batch.
        shape: String,
    },
    /// This many features, as derived from the network.
    Features(usize),
    /// This many features, as stated by the caller.
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

/// What must be fixed before a table of labels can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableFault {
    /// Its content.
    Content,
    /// Which column holds the file names.
    FileColumn,
    /// Which columns hold the targets.
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

/// The message for an unknown network name.
fn unknown_network(name: &str, near: &[&str], file: bool) -> String {
    let start = if file { format!("{name}: no such model file or run folder; ") } else { String::new() };
    let end = if near.is_empty() { String::new() } else { format!("; did you mean {}?", either(near)) };
    format!("{start}unknown network {name:?}{end}")
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file has invalid content.
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
        /// The row in the file; the header is row 1.
        row: Option<u64>,
        /// The name of the column.
        column: Option<String>,
        /// What is wrong, and what to do.
        problem: String,
        /// What must be fixed.
        fault: TableFault,
    },

    /// An image was given where a model is expected.
    #[error("{}: is an image, not a model", path.display())]
    ImageAsModel {
        /// The file.
        path: PathBuf,
    },

    /// The system failed to read or write a file.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The attempted action: `read`, `write`, `create the folder`.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },

    /// A server could not be reached, or returned an unexpected response.
    #[error("{url}: {problem}")]
    Network {
        /// The requested URL.
        url: String,
        /// What went wrong, and what to do.
        problem: String,
    },

    /// An argument is invalid.
    #[error("{0}")]
    Argument(String),

    /// No network has this name.
    #[error("{}", unknown_network(name, near, *file))]
    UnknownNetwork {
        /// The name.
        name: String,
        /// Names that are close to it.
        near: Vec<&'static str>,
        /// Whether the name may have meant a file or folder, which does not exist.
        file: bool,
    },

    /// A file already exists and would be overwritten.
    #[error("{} already exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },

    /// Another process is writing to a folder.
    #[error("{}: another process is writing to this folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },

    /// The published weights of a known network are not in the cache.
    #[error("the weights of {network} {} its classifier are not in {}", with_or_without(*with_top), folder.display())]
    NotFetched {
        /// The network: `vgg16`.
        network: &'static str,
        /// Whether its classifier is needed.
        with_top: bool,
        /// The cache folder.
        folder: PathBuf,
    },

    /// A known network for which no weights are published.
    #[error("{network}: this is the name of a network without weights")]
    NoWeights {
        /// The network: `lenet5`.
        network: &'static str,
    },

    /// A file holds only weights where a network is needed.
    #[error("{}: {}", path.display(), problem.as_deref().unwrap_or("contains weights but no network"))]
    WeightsOnly {
        /// The file.
        path: PathBuf,
        /// Why they do not fit a known network, if their names match one.
        problem: Option<String>,
    },

    /// A file holds the weights of a network without its classifier, which is needed.
    #[error("{}: has the weights of {network} without its classifier, which is needed here", path.display())]
    NoClassifier {
        /// The file.
        path: PathBuf,
        /// The network: `vgg16`.
        network: &'static str,
    },

    /// A training run cannot be resumed with a different setting.
    #[error("{}: this training was started with other settings ({field}: {before} then, {now} now)", path.display())]
    Changed {
        /// The checkpoint.
        path: PathBuf,
        /// The setting that differs: `seed`, or `network, layer dense_1, units`.
        field: String,
        /// Its value in the checkpoint.
        before: String,
        /// Its requested value.
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

    /// A layer cannot be used as requested.
    #[error("layer {layer}: {problem}")]
    Layer {
        /// The layer's name.
        layer: String,
        /// What is wrong; for a shape mismatch, with both shapes.
        problem: String,
    },

    /// An input is larger than a limit that protects the machine.
    #[error("{what}: {got} is over the limit of {limit}")]
    Limit {
        /// What was measured, and where.
        what: String,
        /// The size found or declared.
        got: u64,
        /// The most that is allowed.
        limit: u64,
    },

    /// The operation needs more memory than the limit allows.
    #[error(
        "{what} needs at least {} of memory, but the limit is {}{}",
        size_in_memory(*needed), size_in_memory(*allowed), what_fits(*fits)
    )]
    Memory {
        /// What is computed, and its size.
        what: String,
        /// The memory needed in bytes, with the smallest possible tiles or batches.
        needed: u64,
        /// The memory limit in bytes.
        allowed: u64,
        /// What would fit, if anything.
        fits: Option<Fitting>,
    },

    /// The input is valid, but this version cannot handle it.
    #[error("{0}")]
    Unsupported(String),

    /// The outputs of a network do not suit their intended use.
    #[error("network {network} {found}")]
    Outputs {
        /// The network's name.
        network: String,
        /// What its outputs are.
        found: Unfit,
    },

    /// The operation was canceled on request.
    #[error("interrupted")]
    Interrupted,

    /// An invariant of the library does not hold.
    #[error("{0} (this is a bug in lucida, please report it)")]
    Bug(String),
}

/// The location in a table: `, row 7, column "class"`
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

/// The end of a message about memory: what would fit.
fn what_fits(fits: Option<Fitting>) -> String {
    match fits {
        Some(Fitting::Side(side)) => format!("; the largest that fits has a longer side of {side} pixels"),
        Some(Fitting::Batch(batch)) => format!("; the largest batch size that fits is {batch}"),
        None => String::new(),
    }
}

/// What fits in the memory that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitting {
    /// An image whose longer side has this many pixels.
    Side(usize),
    /// A batch of this many samples.
    Batch(usize),
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
    /// An argument.
    Argument,
    /// A limit of this library, or an unsupported feature.
    Library,
    /// Nobody: the operation was canceled on request.
    Nobody,
    /// A bug in this library.
    Bug,
}

impl Error {
    /// An error about a file with invalid content.
    pub fn file(path: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), problem: problem.into() }
    }

    /// An error from the system during `action` on `path`.
    pub fn io(path: impl AsRef<Path>, action: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.as_ref().to_path_buf(), action, source }
    }

    /// An error about an invalid argument.
    pub fn argument(problem: impl Into<String>) -> Self {
        Self::Argument(problem.into())
    }

    /// An error about a layer that cannot be used as requested.
    pub fn layer(layer: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Layer { layer: layer.into(), problem: problem.into() }
    }

    /// The error of what takes more bytes than the system gives.
    pub(crate) fn no_memory(what: &str, bytes: usize) -> Self {
        let gib = bytes as f64 / f64::from(1 << 30);
        Self::Unsupported(format!("{what} takes {gib:.1} GiB of memory, which the system does not give"))
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
            | Self::InUse { .. }
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
