//! Exit codes and one-line error messages.

use std::error::Error as _;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind as Kind};
use lucida::weights::hub::published_for;
use lucida::{Error, Fitting, TableFault, Unfit, files, nearest_name, nearest_names};

use crate::cli::Cli;
use crate::output::printable;

/// The run failed.
const FAILED: u8 = 1;
/// Invalid command line.
const USAGE: u8 = 2;
/// Stopped by Ctrl-C: 128 plus the number of SIGINT, as in shells.
pub(crate) const INTERRUPTED: u8 = 130;

/// An invalid value on the command line or in the environment.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Failures that have already been reported one by one.
#[derive(Debug)]
pub(crate) struct Reported;

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("some of the inputs failed")
    }
}

impl std::error::Error for Reported {}

/// The exit code for the result of a command.
pub(crate) fn of_run(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if is_closed_pipe(&error) {
        // The reader has closed the pipe: `lucida summary mnist-cnn | head`.
        return ExitCode::SUCCESS;
    }
    if error.is::<Reported>() {
        return FAILED.into();
    }
    report(&error);
    if error.is::<Usage>() {
        USAGE.into()
    } else if matches!(error.downcast_ref(), Some(Error::Interrupted)) {
        INTERRUPTED.into()
    } else {
        FAILED.into()
    }
}

/// The exit code when parsing ends early: help, version, or an invalid command line.
pub(crate) fn of_parsing(answer: clap::Error) -> ExitCode {
    let answer = with_plain_message(answer);
    match answer.print().and_then(|()| io::stdout().flush()) {
        Ok(()) => u8::try_from(answer.exit_code()).unwrap_or(USAGE).into(),
        Err(error) => of_run(Err(crate::output::unwritable(error))),
    }
}

/// Rewrites the error for an invalid value to name the option, what was expected, and what was given.
pub(crate) fn with_plain_message(error: clap::Error) -> clap::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let value = text(ContextKind::InvalidValue);
    let expected = match error.kind() {
        Kind::ValueValidation => error.source().map(ToString::to_string),
        Kind::InvalidValue if !value.is_empty() => match error.get(ContextKind::ValidValue) {
            // Only the list of networks is this long.
            Some(ContextValue::Strings(valid)) if valid.len() > MOST_LISTED => {
                Some("expected the name of a network".to_owned())
            }
            Some(ContextValue::Strings(valid)) => Some(format!("expected {}", or(valid))),
            _ => None,
        },
        _ => None,
    };
    let Some(expected) = expected else { return without_photo(without_wrong_advice(error)) };
    // `--epochs <N>` becomes `--epochs`.
    let option = text(ContextKind::InvalidArg).split([' ', '=']).next().unwrap_or_default();
    let got = if expected.contains(&format!("{value:?}")) { String::new() } else { format!(", got {value:?}") };
    let near = match (text(ContextKind::SuggestedValue), error.get(ContextKind::ValidValue)) {
        (_, Some(ContextValue::Strings(valid))) if valid.len() > MOST_LISTED => {
            let near: Vec<String> =
                nearest_names(value, valid.iter().map(String::as_str), 3).into_iter().map(str::to_owned).collect();
            let near = if near.is_empty() { ";".to_owned() } else { format!("; did you mean {}?", or(&near)) };
            format!("{near} `lucida models` lists all")
        }
        ("", _) => String::new(),
        (near, _) => format!("; did you mean {near}?"),
    };
    let message = format!("{option}: {expected}{got}{near}\n\nFor more information, try '--help'.\n");
    clap::Error::raw(error.kind(), message).with_cmd(&Cli::command())
}

/// Removes misleading advice from an error: the suggestion to write `-- --option`, which would turn a mistyped option into a
/// file name; a missing image where a data set is missing too, since either will do and the given arguments belong to the
/// data set; and a missing model, which has a default.
fn without_wrong_advice(mut error: clap::Error) -> clap::Error {
    if let (Kind::MissingRequiredArgument, Some(ContextValue::Strings(missing))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    {
        let or_data = missing.iter().any(|name| name.starts_with("--data"));
        let is_wrong = |name: &str| name == "<MODEL>" || or_data && name.starts_with("<IMAGE>");
        let others = missing.iter().filter(|name| !is_wrong(name)).cloned().collect();
        error.insert(ContextKind::InvalidArg, ContextValue::Strings(others));
    }
    if error.kind() == Kind::UnknownArgument {
        error.remove(ContextKind::Suggested);
    }
    error
}

/// Explains a missing photo that `--fast` took as its network: its value is optional.
fn without_photo(error: clap::Error) -> clap::Error {
    let missing = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing)) if error.kind() == Kind::MissingRequiredArgument => missing,
        _ => return error,
    };
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let taken = words.windows(2).find(|pair| pair[0] == "--fast" && !pair[1].starts_with('-'));
    let (Some([_, taken]), true) = (taken, missing.iter().any(|name| matches!(name.as_str(), "<CONTENT>" | "<VIDEO>")))
    else {
        return error;
    };
    let message = format!("--fast took {taken} as its network: put --fast after the photos or the video");
    clap::Error::raw(error.kind(), format!("{message}\n\nFor more information, try '--help'.\n"))
        .with_cmd(&Cli::command())
}

/// The maximum number of values that a message lists.
const MOST_LISTED: usize = 30;

/// Joins words: `a`, `a or b`, `a, b or c`.
fn or(words: &[String]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => words.concat(),
    }
}

/// Prints an error as one line on standard error, in clap's colors. If standard error is closed, there is nowhere left to
/// report.
pub(crate) fn report(error: &anyhow::Error) {
    let hint = error.downcast_ref().and_then(hint).map(|hint| format!("; {hint}")).unwrap_or_default();
    let line = format!("{}{hint}\n", printable(&one_line(error))).replacen("?; ", "? ", 1);
    let _ = clap::Error::raw(Kind::Io, line).with_cmd(&Cli::command()).print();
}

/// Suggests what to type, which the library's errors do not know.
fn hint(error: &Error) -> Option<String> {
    Some(match error {
        Error::Changed { field, before, .. } => resume_as_before(field, before),
        Error::NotFinite { skips: false, checkpoint, .. } => match checkpoint {
            Some(_) => "--resume --on-nan skip continues from it and leaves such steps out".to_owned(),
            None => "--on-nan skip leaves such steps out".to_owned(),
        },
        Error::UnknownNetwork { .. } => "`lucida models` lists all".to_owned(),
        Error::Exists { .. } => "use --force to overwrite it".to_owned(),
        Error::InUse { .. } => "wait until it has ended, or name another folder with --out".to_owned(),
        Error::ImageAsModel { .. } => "a command takes the model first, then images".to_owned(),
        Error::NotFetched { .. } => {
            let file = published_for(error)?;
            let (command, size) = (file.command(), file.size_text());
            format!("download them with `{command}` ({size}), or give a file with --weights FILE")
        }
        Error::NoClassifier { .. } => format!("download them with `{}`", published_for(error)?.command()),
        Error::NoWeights { .. } => {
            "give the file or the run folder of a trained one, as `lucida train` writes it, or the \
             file of its weights with --weights FILE"
                .to_owned()
        }
        Error::WeightsOnly { problem: Some(_), .. } => {
            "or say with --network NAME whose strides and activations it has (`lucida models` lists the names)".to_owned()
        }
        Error::WeightsOnly { .. } => {
            "say whose they are with --network NAME (`lucida models` lists the names), or export a network of your own to ONNX"
                .to_owned()
        }
        Error::Outputs { found, .. } => match found {
            Unfit::Features(_) => "--task says what they are, if not features; `lucida embed` uses features",
            Unfit::ChosenFeatures(_) => "`lucida embed` and `lucida train --base` use them",
            Unfit::Maps { .. } => "`lucida run --out FOLDER` computes the maps, `lucida embed` uses features",
            Unfit::Values(_) => "--task classify or multilabel reads them as classes",
            _ => return None,
        }
        .to_owned(),
        Error::Table { fault, .. } => match fault {
            TableFault::FileColumn => "--file-column names the column of the files, --images their folder",
            TableFault::TargetColumns => "--target-column NAME,... names the columns to learn",
            TableFault::TargetKind => {
                "--target-column NAME,... names the columns to learn, --task says what they are (classify, multilabel, regress)"
            }
            _ => return None,
        }
        .to_owned(),
        // A failed write does not mean that the name is misspelled.
        Error::File { path, .. } | Error::Io { path, action: "read", .. } => return did_you_mean(path),
        Error::Memory { needed, fits, .. } => memory_hint(*needed, *fits),
        _ => return None,
    })
}

/// How to resume a run that was started with another value of an option.
fn resume_as_before(field: &str, before: &str) -> String {
    let what = field.split(", ").next().unwrap_or(field);
    match what {
        "classes" | "training images" | "validation images" => {
            "to train further on other data, use --continue with the folder of this run and another --out".to_owned()
        }
        "network" | "trained weights" | "preprocessing" => {
            "resume with the network options of the first command (--model, --base, --continue, --size, --cut, --head, \
             --unfreeze), or start over with --force"
                .to_owned()
        }
        "slow" => {
            "resume with the --unfreeze and --unfreeze-rate of the first command, or start over with --force".into()
        }
        "table" | "labels" | "fold" => {
            "resume with the table, the columns, the groups and the folds of the first command, or start over with --force"
                .to_owned()
        }
        "augmentation" => "resume with the --augment of the first command, or start over with --force".to_owned(),
        "augmented copies" => {
            "resume with the --augment-copies of the first command, or start over with --force".into()
        }
        "plateau" => "resume with the --reduce-on-plateau of the first command, or start over with --force".to_owned(),
        "early stopping" if before == "none" => "resume with --early-stopping 0, or start over with --force".to_owned(),
        _ if before == "none" => format!("resume without --{}, or start over with --force", what.replace(' ', "-")),
        _ => {
            let value = if field.contains(", ") { "as in the first command" } else { before };
            let option = what.replace(' ', "-");
            format!("resume with --{option} {value}, or start over with --force")
        }
    }
}

/// The options that reduce memory use.
fn memory_hint(needed: u64, fits: Option<Fitting>) -> String {
    let memory = needed.div_ceil(1 << 20);
    let other = match fits {
        Some(Fitting::Side(side)) => format!(", or --size {side}"),
        Some(Fitting::Batch(batch)) => format!(", or --batch-size {batch}"),
        None => String::new(),
    };
    format!("use --memory {memory}M or more{other}")
}

/// Suggests an existing file with a similar name.
pub(crate) fn did_you_mean(path: &Path) -> Option<String> {
    files::similar(path).map(|near| format!("did you mean {}?", near.display()))
}

/// Suggests what a missing data folder was meant to be: another folder, or the built-in digits.
pub(crate) fn did_you_mean_data(text: &str) -> String {
    let digits = || nearest_name(text, ["mnist"]).map(|near| format!("did you mean {near}?"));
    did_you_mean(Path::new(text)).or_else(digits).map(|near| format!("; {near}")).unwrap_or_default()
}

/// Formats an error with its causes on one line, leaving out causes that a message already contains.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let message = cause.to_string();
        if !line.ends_with(&message) {
            line = if line.is_empty() { message } else { format!("{line}: {message}") };
        }
    }
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let stream = if line.starts_with("-: cannot write") { "standard output" } else { "standard input" };
    line.strip_prefix("-: ").map_or_else(|| line.clone(), |problem| format!("{stream}: {problem}"))
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    // All other library errors concern files, whatever their cause.
    let of_a_file = match error.downcast_ref() {
        Some(Error::Io { path, .. }) => !files::is_stdout(path),
        other => other.is_some(),
    };
    !of_a_file
        && error
            .chain()
            .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_and_in_one_line() {
        let error = Error::io("runs/x", "write", io::Error::other("disk\n full"));
        assert_eq!(one_line(&error.into()), "runs/x: cannot write: disk full");
        let error = anyhow::Error::new(io::Error::other("inner")).context("outer");
        assert_eq!(one_line(&error), "outer: inner");
    }

    #[test]
    fn only_a_closed_standard_output_is_no_failure() {
        let closed = || io::Error::from(ErrorKind::BrokenPipe);
        assert!(is_closed_pipe(&crate::output::unwritable(closed())));
        assert!(!is_closed_pipe(&Error::io("model", "write", closed()).into()));
        assert!(!is_closed_pipe(&io::Error::from(ErrorKind::NotFound).into()));
    }
}
