//! Defaults of a user's own: from a config file, and from the environment.
//!
//! A value given on the command line wins, then the environment's (`LUCIDA_TRAIN_EPOCHS`), then the config file's, then the
//! built-in one. All are checked alike, by the parsers of the command line.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind as Kind;
use clap::{Arg, ArgAction, Command, CommandFactory};
use etcetera::BaseStrategy;
use lucida::nearest_name;
use toml::{Table, Value};

use crate::cli::Cli;
use crate::exit;

/// The environment variable that names the config file; empty, no file is read.
const VARIABLE: &str = "LUCIDA_CONFIG";
/// Options that are only ever meant for one run.
const NEVER: [&str; 5] = ["help", "version", "force", "resume", "auto-resume"];
/// `LUCIDA_THREADS` is the library's own.
const OF_THE_LIBRARY: [&str; 1] = ["LUCIDA_THREADS"];

/// A config file that was found.
struct Config {
    path: PathBuf,
    table: Table,
}

/// Where a default comes from, and its text as on a command line.
struct Default {
    origin: String,
    values: Vec<OsString>,
}

/// The path of the config file: that of `LUCIDA_CONFIG`, else `lucida/config.toml` in the user's folder for them, which
/// may not exist.
fn path() -> Option<PathBuf> {
    match env::var_os(VARIABLE) {
        Some(path) => (!path.is_empty()).then(|| path.into()),
        None => Some(etcetera::choose_base_strategy().ok()?.config_dir().join("lucida").join("config.toml")),
    }
}

/// The config file, if there is one and all that it says is valid.
pub(crate) fn load_checked() -> Result<Option<PathBuf>, String> {
    with_defaults(Cli::command())?;
    Ok(load()?.map(|config| config.path))
}

/// Reads the config file, if there is one.
fn load() -> Result<Option<Config>, String> {
    let Some(path) = path() else { return Ok(None) };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && env::var_os(VARIABLE).is_none() => return Ok(None),
        Err(error) => return Err(format!("{}: cannot read the config file: {error}", path.display())),
    };
    let table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
        format!("{}: line {line}: {}", path.display(), error.message())
    })?;
    Ok(Some(Config { path, table }))
}

/// The command with the user's defaults in it.
pub(crate) fn with_defaults(command: Command) -> Result<Command, String> {
    let config = load()?;
    let (file, table) = match &config {
        Some(config) => (config.path.as_path(), Some(&config.table)),
        None => (Path::new(""), None),
    };
    let whole = command.clone();
    Reader { file, whole: &whole }.apply(command, table, &[])
}

/// Puts defaults into a command and those below it.
struct Reader<'a> {
    file: &'a Path,
    whole: &'a Command,
}

impl Reader<'_> {
    /// `table` is the part of the file about this command, whose name is `path`.
    fn apply(&self, mut command: Command, table: Option<&Table>, path: &[String]) -> Result<Command, String> {
        self.check_names(&command, table, path)?;
        let options: Vec<Arg> = options(&command).cloned().collect();
        for option in options {
            let Some(default) = self.default(&option, table, path)? else { continue };
            self.check(&option, &default, path)?;
            // Many name their built-in default in their help: it would contradict this one.
            let hide = option.get_help().is_some_and(|help| help.to_string().contains("[default:"));
            command = command.mut_arg(option.get_id(), |arg| {
                arg.required(false).default_values(default.values).hide_default_value(hide)
            });
        }
        let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
        for name in names {
            let table = table.and_then(|table| table.get(&name)).and_then(Value::as_table);
            let path: Vec<String> = path.iter().cloned().chain([name.clone()]).collect();
            let mut result = Ok(());
            command = command.mut_subcommand(name, |inner| match self.apply(inner.clone(), table, &path) {
                Ok(inner) => inner,
                Err(problem) => {
                    result = Err(problem);
                    inner
                }
            });
            result?;
        }
        Ok(command)
    }

    /// Every key is an option of the command, or a command below it.
    fn check_names(&self, command: &Command, table: Option<&Table>, path: &[String]) -> Result<(), String> {
        let line = path.iter().fold("lucida".to_owned(), |line, name| line + " " + name);
        let options = || options(command).filter_map(Arg::get_long);
        let commands = || command.get_subcommands().map(Command::get_name);
        for (key, value) in table.into_iter().flatten() {
            if options().any(|name| name == key) || value.is_table() && commands().any(|name| name == key) {
                continue;
            }
            let problem = match NEVER.contains(&key.as_str()) {
                true => format!("{key} cannot have a default"),
                false => format!("`{line}` has no option {key}"),
            };
            let near = nearest_name(key, options().chain(commands()));
            let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(format!("{}: {problem}{near}", self.file.display()));
        }
        Ok(())
    }

    /// What the environment, or else the file says of an option.
    fn default(&self, option: &Arg, table: Option<&Table>, path: &[String]) -> Result<Option<Default>, String> {
        let Some(long) = option.get_long() else { return Ok(None) };
        let variable = variable(path, long);
        if let Some(value) = env::var_os(&variable).filter(|_| !OF_THE_LIBRARY.contains(&variable.as_str())) {
            return Ok(Some(Default { origin: variable, values: vec![value] }));
        }
        let Some(value) = table.and_then(|table| table.get(long)) else { return Ok(None) };
        let origin = format!("{}: {}", self.file.display(), [path, &[long.to_owned()]].concat().join("."));
        let values = match value {
            Value::Array(values) => values.iter().map(text).collect::<Option<_>>(),
            value => text(value).map(|text| vec![text]),
        };
        let values = values.ok_or_else(|| format!("{origin}: expected a string, a number, true or false"))?;
        Ok(Some(Default { origin, values }))
    }

    /// Runs the values through the parser of the option.
    fn check(&self, option: &Arg, default: &Default, path: &[String]) -> Result<(), String> {
        if is_flag(option) {
            let valid = matches!(default.values.as_slice(), [value] if value == "true" || value == "false");
            return if valid { Ok(()) } else { Err(format!("{}: expected true or false", default.origin)) };
        }
        let (Some(long), Some(command)) = (option.get_long(), path.iter().try_fold(self.whole, subcommand)) else {
            return Ok(());
        };
        for value in &default.values {
            let mut argument = OsString::from(format!("--{long}="));
            argument.push(value);
            let line = [OsString::from(command.get_name()), argument];
            let error = command.clone().try_get_matches_from(line).err();
            // What else is missing does not matter here.
            if let Some(error) =
                error.filter(|error| matches!(error.kind(), Kind::ValueValidation | Kind::InvalidValue))
            {
                let message = exit::in_plain_words(error).to_string();
                let message = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
                return Err(format!("{}: {}", default.origin, message.trim_start_matches(&format!("--{long}: "))));
            }
        }
        Ok(())
    }
}

fn subcommand<'a>(command: &'a Command, name: &String) -> Option<&'a Command> {
    command.get_subcommands().find(|inner| inner.get_name() == name)
}

/// The options of a command that may have a default of the user's.
fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|option| option.get_long().is_some_and(|long| !NEVER.contains(&long)))
}

fn is_flag(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::SetTrue)
}

/// `LUCIDA_TRAIN_MNIST_BATCH_SIZE`.
fn variable(path: &[String], long: &str) -> String {
    let words = ["lucida".to_owned()].into_iter().chain(path.iter().cloned()).chain([long.to_owned()]);
    words.collect::<Vec<_>>().join("_").replace('-', "_").to_uppercase()
}

/// A value as a command line has it.
fn text(value: &Value) -> Option<OsString> {
    Some(match value {
        Value::String(text) => text.into(),
        Value::Integer(number) => number.to_string().into(),
        Value::Float(number) => number.to_string().into(),
        Value::Boolean(value) => value.to_string().into(),
        _ => return None,
    })
}
