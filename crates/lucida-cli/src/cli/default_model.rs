//! The built-in classifier, where a command that takes a model is given images only.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, Command};
use lucida::data::is_image_file;
use lucida::files;
use lucida::weights::{CLASSIFIER, MODEL_EXTENSIONS, model_file};

/// The arguments with the built-in classifier before the images: `lucida predict photo.jpg` is
/// `lucida predict efficientnet-lite0 photo.jpg`. Without any image the parser's default does.
pub(super) fn with_default_model(command: &Command, mut arguments: Vec<OsString>) -> Vec<OsString> {
    let matches = command.clone().ignore_errors(true).try_get_matches_from(&arguments).unwrap_or_default();
    let Some((name, inner)) = matches.subcommand() else { return arguments };
    let Some(subcommand) = command.find_subcommand(name) else { return arguments };
    let is_given = |argument: &Arg| inner.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine);
    let mut positionals = subcommand.get_positionals();
    let takes_model = positionals.next().is_some_and(|argument| argument.get_id() == "model");
    let others: Vec<&Arg> = positionals.collect();
    if !takes_model || others.is_empty() {
        return arguments;
    }
    let first = inner.get_raw("model").and_then(|mut words| words.next());
    // Of two inputs, the model comes from standard input.
    let is_input = |word: &OsStr| is_input(word) && !(word == "-" && others.iter().any(|other| is_given(other)));
    // With the model last, the parser's error says where it belongs.
    let rest = others.iter().filter_map(|other| inner.get_raw(other.get_id().as_str())).flatten();
    if first.is_some_and(is_input) && !rest.into_iter().any(is_model) {
        let is_command = |word: &OsString| word.to_str().is_some_and(|word| is_named(subcommand, word));
        let at = arguments.iter().skip(1).position(is_command);
        arguments.insert(at.map_or(arguments.len(), |at| at + 2), CLASSIFIER.into());
    }
    arguments
}

fn is_named(command: &Command, word: &str) -> bool {
    command.get_name() == word || command.get_all_aliases().any(|alias| alias == word)
}

/// Whether a word is a model: a file by its ending, or a folder by what is in it.
fn is_model(word: &OsStr) -> bool {
    let path = Path::new(word);
    let ending = path.extension().and_then(OsStr::to_str);
    if path.is_dir() { !is_input(word) } else { ending.is_some_and(|ending| MODEL_EXTENSIONS.contains(&ending)) }
}

/// Whether a word is an image or a folder of images, and no model.
fn is_input(word: &OsStr) -> bool {
    let path = Path::new(word);
    if files::is_stdin(path) {
        return true;
    }
    if path.is_dir() {
        // A folder that has no model is returned itself.
        return model_file(path).is_some_and(|file| file == path) && !path.join("saved_model.pb").exists();
    }
    is_image_file(path)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn completed(line: &str) -> String {
        let arguments = line.split(' ').map(OsString::from).collect();
        let words = with_default_model(&Cli::command(), arguments);
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn images_alone_are_for_the_classifier() {
        for (typed, meant) in [
            ("lucida predict photo.jpg", "lucida predict efficientnet-lite0 photo.jpg"),
            ("lucida -q predict --json a.PNG b.webp", "lucida -q predict efficientnet-lite0 --json a.PNG b.webp"),
            ("lucida explain --method lrp photo.jpg", "lucida explain efficientnet-lite0 --method lrp photo.jpg"),
            ("lucida predict src", "lucida predict efficientnet-lite0 src"),
            ("lucida predict -", "lucida predict efficientnet-lite0 -"),
        ] {
            assert_eq!(completed(typed), meant);
        }
    }

    #[test]
    fn models_are_left_alone() {
        for line in [
            "lucida predict vgg16 photo.jpg",
            "lucida predict missing photo.jpg",
            "lucida predict photo.jpg model.keras",
            "lucida predict --data mnist",
            "lucida explain - photo.jpg",
            "lucida predict",
            "lucida summary photo.jpg",
            "lucida style photo.jpg painting.jpg",
            "lucida filters --layer a",
            "lucida",
        ] {
            assert_eq!(completed(line), line);
        }
    }
}
