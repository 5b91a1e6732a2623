//! Labels of images that are not sorted into sub-folders.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use lucida::data::{LabelSource, TargetKind};

/// The heading of the options.
const LABELS: &str = "Labels and groups";

/// Where labels are from.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct LabelArguments {
    /// Table of labels: a row per image, separated by commas, semicolons or tabs, the column names in the first row. One
    /// column of classes, several of 0 and 1 (multi-label), or numbers (regression)
    #[arg(long, value_name = "TABLE.csv", value_hint = ValueHint::FilePath, help_heading = LABELS)]
    pub(crate) labels: Option<PathBuf>,

    /// Folder of the images that --labels names [default: the folder of the table]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = LABELS)]
    pub(crate) images: Option<PathBuf>,

    /// Column of --labels with the file names, with or without endings [default: the first that names files]
    #[arg(long, value_name = "COLUMN", requires = "labels", help_heading = LABELS)]
    pub(crate) file_column: Option<String>,

    /// Columns of --labels to learn, separated by commas [default: all others]
    #[arg(
        long,
        visible_alias = "target-columns",
        value_name = "COLUMN,...",
        requires = "labels",
        value_delimiter = ','
    )]
    #[arg(help_heading = LABELS)]
    pub(crate) target_column: Vec<String>,

    /// Take the class from the file name: '{class}_*.jpg', where * and ? are any characters and {class} is as short as it can
    /// be, or a regular expression with a group, '^(?<class>[a-z]+)'
    #[arg(long, value_name = "PATTERN", conflicts_with = "labels", help_heading = LABELS)]
    pub(crate) label_pattern: Option<String>,
}

impl LabelArguments {
    /// The folder of the images: the one that is given, else that of the table.
    pub(crate) fn folder(&self, given: Option<&Path>) -> Option<PathBuf> {
        let of_table = || {
            let folder = self.labels.as_deref()?.parent()?;
            Some(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        };
        given.or(self.images.as_deref()).or_else(of_table).map(Path::to_path_buf)
    }

    /// Whether labels are from a table or from file names.
    pub(crate) fn any(&self) -> bool {
        self.labels.is_some() || self.label_pattern.is_some()
    }

    /// What the library is to read. Without `targets`, what they are follows from their columns.
    pub(crate) fn source(&self, targets: Option<TargetKind>) -> LabelSource {
        LabelSource {
            table: self.labels.clone(),
            file_column: self.file_column.clone(),
            target_columns: self.target_column.clone(),
            targets,
            pattern: self.label_pattern.clone(),
            ..LabelSource::default()
        }
    }
}

/// Which images belong together.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct GroupArguments {
    /// Meaning of the target columns [default: classify for one column of text or of up to 20 whole numbers, multilabel for
    /// several of 0 and 1, regress for other numbers]
    #[arg(long, value_enum, requires = "labels", help_heading = LABELS)]
    pub(crate) task: Option<TaskName>,

    /// Keep all images with the same value of this column of --labels, or part of --label-pattern, on one side of the split:
    /// patient, speaker, camera
    #[arg(long, value_name = "COLUMN", help_heading = LABELS)]
    pub(crate) group: Option<String>,

    /// The same, with the group in the file name: '*_{speaker}_*', or a regular expression with a named group
    #[arg(long, value_name = "PATTERN", conflicts_with = "group", help_heading = LABELS)]
    pub(crate) group_pattern: Option<String>,
}

/// What a table can be trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TaskName {
    /// One class per image
    Classify,
    /// Any number of labels per image
    Multilabel,
    /// Numbers
    Regress,
}

impl From<TaskName> for TargetKind {
    fn from(name: TaskName) -> Self {
        match name {
            TaskName::Classify => Self::Classes,
            TaskName::Multilabel => Self::Labels,
            TaskName::Regress => Self::Values,
        }
    }
}
