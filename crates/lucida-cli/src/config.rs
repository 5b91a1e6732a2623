//! User defaults from a config file and the environment.
//!
//! Precedence: the command line, then the environment (`LUCIDA_TRAIN_EPOCHS`), then the config file, then the built-in
//! default. All values are checked by the command line's parsers.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;

use clap::error::ErrorKind as Kind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Command, CommandFactory, Id};
use etcetera::BaseStrategy;
use lucida::{Error, files, nearest_name};
use toml::{Table, Value};

use crate::cli::Cli;
use crate::exit;

/// The environment variable with the path of the config file; if empty, no file is read.
const VARIABLE: &str = "LUCIDA_CONFIG";
/// Size limit of the config file, in bytes.
const MOST_BYTES: u64 = 1 << 20;
/// Options that cannot have a user default, since they only apply to a single run.
const NEVER: [&str; 5] = ["help", "version", "force", "resume", "auto-resume"];
/// Environment variables that do not set the default of an option, or that the library reads itself.
const OTHERS: [&str; 6] =
    [VARIABLE, "LUCIDA_THREADS", "LUCIDA_SIMD", "LUCIDA_CACHE", "LUCIDA_HUB", "LUCIDA_MPI_TIMEOUT"];

/// A config file.
struct Config {
    path: PathBuf,
    table: Table,
}

/// The origin of a default, and its values as on a command line.
struct UserDefault {
    origin: String,
    values: Vec<OsString>,
}

/// The path of the config file: `LUCIDA_CONFIG`, or `lucida/config.toml` in the user's config folder. It may not exist.
pub(crate) fn path() -> Option<PathBuf> {
    match env::var_os(VARIABLE) {
        Some(path) => (!path.is_empty()).then(|| path.into()),
        None => Some(etcetera::choose_base_strategy().ok()?.config_dir().join("lucida").join("config.toml")),
    }
}

/// The first problem in the config file or the environment: an invalid default, or a variable that no option reads.
pub(crate) fn problem() -> Option<String> {
    let command = Cli::command();
    let check = || {
        Reader::new(load()?, &command, None).apply(command.clone(), &[])?;
        check_variables(&command)
    };
    check().err()
}

/// Checks that every `LUCIDA_` variable in the environment is known.
fn check_variables(command: &Command) -> Result<(), String> {
    let known = variables(command, &[]);
    let set = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in set.filter(|name| name.starts_with("LUCIDA_") && !OTHERS.contains(&name.as_str())) {
        if !known.contains(&name) {
            let near = nearest_name(&name, known.iter().map(String::as_str));
            let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(format!("{name}: no option has this variable{near}"));
        }
    }
    Ok(())
}

/// The environment variables of the options of a command and its subcommands.
fn variables(command: &Command, path: &[String]) -> Vec<String> {
    let own = options(command).filter_map(Arg::get_long).map(|long| variable(path, long));
    let below = command.get_subcommands().flat_map(|inner| {
        let path: Vec<String> = path.iter().cloned().chain([inner.get_name().to_owned()]).collect();
        variables(inner, &path)
    });
    own.chain(below).collect()
}

/// Reads the config file, if it exists.
fn load() -> Result<Option<Config>, String> {
    let Some(path) = path() else { return Ok(None) };
    let named = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
    let bytes = match files::read_limited(&path, MOST_BYTES) {
        Ok(bytes) => bytes,
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound && env::var_os(VARIABLE).is_none() => {
            return Ok(None);
        }
        Err(Error::Io { source, .. }) => return Err(named(&format!("cannot read the config file: {source}"))),
        Err(error) => return Err(error.to_string()),
    };
    let text = String::from_utf8(bytes).map_err(|_| named(&"not UTF-8 text"))?;
    let table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        named(&format!("line {line}: {}", error.message()))
    })?;
    Ok(Some(Config { path, table }))
}

/// Applies the user's defaults to the command, for the command line `arguments`.
pub(crate) fn with_defaults(command: Command, arguments: &[OsString]) -> Result<Command, String> {
    let is_default =
        |name: OsString| name.to_str().is_some_and(|name| name.starts_with("LUCIDA_") && !OTHERS.contains(&name));
    // The second parse takes a millisecond, so it is skipped where there are no defaults.
    let config = load()?;
    if config.is_none() && !env::vars_os().any(|(name, _)| is_default(name)) {
        return Ok(command);
    }
    Reader::new(config, &command, Some(arguments)).apply(command.clone(), &[])
}

/// What the command line itself contains.
struct GivenArguments {
    /// The names of the (sub)commands: `weights`, `convert`.
    path: Vec<String>,
    /// The options and arguments given.
    given: Vec<Id>,
}

impl GivenArguments {
    fn of(command: &Command, arguments: &[OsString]) -> Self {
        let (mut path, mut given) = (Vec::new(), Vec::new());
        // A help flag would end the parse early, and the help shows the user's defaults.
        let arguments = arguments.iter().filter(|word| *word != "-h" && *word != "--help");
        let matches = command.clone().ignore_errors(true).try_get_matches_from(arguments).unwrap_or_default();
        let mut level = Some(&matches);
        while let Some(matches) = level {
            let typed = matches.ids().filter(|id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine));
            given.extend(typed.cloned());
            level = matches.subcommand().map(|(name, inner)| {
                path.push(name.to_owned());
                inner
            });
        }
        Self { path, given }
    }
}

/// Applies defaults to a command and its subcommands.
struct Reader<'a> {
    file: PathBuf,
    table: Table,
    whole: &'a Command,
    /// The command line; `None` to check the defaults of all commands.
    typed: Option<GivenArguments>,
}

impl<'a> Reader<'a> {
    fn new(config: Option<Config>, whole: &'a Command, arguments: Option<&[OsString]>) -> Self {
        let typed = arguments.map(|arguments| GivenArguments::of(whole, arguments));
        let (file, table) = config.map_or_else(Default::default, |config| (config.path, config.table));
        Self { file, table, whole, typed }
    }

    /// The section of the file for a command.
    fn section(&self, path: &[String]) -> Option<&Table> {
        path.iter().try_fold(&self.table, |table, name| table.get(name)?.as_table())
    }

    fn apply(&self, mut command: Command, path: &[String]) -> Result<Command, String> {
        self.check_names(&command, path)?;
        let mut defaults = Vec::new();
        for option in options(&command) {
            if let Some(default) = self.default(option, path)? {
                self.check(option, &default, path)?;
                defaults.push((option.clone(), default));
            }
        }
        self.check_together(&command, &defaults)?;
        // The command line wins, also over defaults that conflict with its options.
        let given: &[Id] = self.typed.as_ref().map_or(&[], |typed| &typed.given);
        let plain = command.clone();
        defaults.retain(|(option, _)| {
            let typed = plain.get_arguments().filter(|other| given.contains(other.get_id()));
            !typed.into_iter().any(|other| exclude(&plain, option, other))
        });
        for (option, default) in defaults {
            // Many help texts state the built-in default, which would contradict the user's.
            let hide = option.get_help().is_some_and(|help| help.to_string().contains("[default:"));
            command = command.mut_arg(option.get_id(), |arg| {
                arg.required(false).default_values(default.values).hide_default_value(hide)
            });
        }
        let wanted = self.typed.as_ref().map(|typed| typed.path.get(path.len()));
        let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
        for name in names.into_iter().filter(|name| wanted.is_none_or(|wanted| wanted == Some(name))) {
            let path: Vec<String> = path.iter().cloned().chain([name.clone()]).collect();
            let mut result = Ok(());
            command = command.mut_subcommand(name, |inner| {
                self.apply(inner.clone(), &path).unwrap_or_else(|problem| {
                    result = Err(problem);
                    inner
                })
            });
            result?;
        }
        Ok(command)
    }

    /// Checks that every key is an option of the command or one of its subcommands.
    fn check_names(&self, command: &Command, path: &[String]) -> Result<(), String> {
        let line = path.iter().fold("lucida".to_owned(), |line, name| line + " " + name);
        let names = || options(command).filter_map(Arg::get_long);
        let commands = || command.get_subcommands().map(Command::get_name);
        for (key, value) in self.section(path).into_iter().flatten() {
            let is_command = commands().any(|name| name == key);
            if options(command).any(|option| is_named(option, key)) || value.is_table() && is_command {
                continue;
            }
            let problem = if NEVER.contains(&key.as_str()) {
                format!("{key} cannot have a default")
            } else if is_command {
                format!("{key} is a section of its own: [{}]", [path, std::slice::from_ref(key)].concat().join("."))
            } else {
                let near = nearest_name(key, names().chain(commands()));
                let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                format!("`{line}` has no {} {key}{near}", if value.is_table() { "command" } else { "option" })
            };
            return Err(format!("{}: {problem}", self.file.display()));
        }
        Ok(())
    }

    /// Checks that no two defaults of a command conflict.
    fn check_together(&self, command: &Command, defaults: &[(Arg, UserDefault)]) -> Result<(), String> {
        for (at, (option, default)) in defaults.iter().enumerate() {
            let other = defaults[..at].iter().find(|(other, _)| exclude(command, option, other));
            if let Some((other, _)) = other {
                let other = other.get_long().unwrap_or_default();
                return Err(format!("{}: cannot have a default together with {other}", default.origin));
            }
        }
        Ok(())
    }

    /// The default of an option from the environment, or else from the file.
    fn default(&self, option: &Arg, path: &[String]) -> Result<Option<UserDefault>, String> {
        let Some(long) = option.get_long() else { return Ok(None) };
        let variable = variable(path, long);
        let value = env::var_os(&variable).filter(|value| !value.is_empty());
        if let Some(value) = value.filter(|_| !OTHERS.contains(&variable.as_str())) {
            return Ok(Some(UserDefault { origin: variable, values: vec![value] }));
        }
        let found = self.section(path).and_then(|table| table.iter().find(|(key, _)| is_named(option, key)));
        let Some((key, value)) = found else { return Ok(None) };
        let origin = format!("{}: {}", self.file.display(), [path, std::slice::from_ref(key)].concat().join("."));
        let values = match value {
            Value::Array(values) => values.iter().map(text).collect::<Option<_>>(),
            value => text(value).map(|text| vec![text]),
        };
        let values = values.ok_or_else(|| format!("{origin}: expected a string, a number, true or false"))?;
        Ok(Some(UserDefault { origin, values }))
    }

    /// Checks the values with the option's own parser.
    fn check(&self, option: &Arg, default: &UserDefault, path: &[String]) -> Result<(), String> {
        if is_flag(option) {
            let valid = matches!(default.values.as_slice(), [value] if value == "true" || value == "false");
            let got = || default.values.iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(", ");
            return if valid {
                Ok(())
            } else {
                Err(format!("{}: expected true or false, got {}", default.origin, got()))
            };
        }
        let (Some(long), Some(command)) = (option.get_long(), path.iter().try_fold(self.whole, subcommand)) else {
            return Ok(());
        };
        for value in &default.values {
            let mut argument = OsString::from(format!("--{long}="));
            argument.push(value);
            let line = [OsString::from(command.get_name()), argument];
            let error = command.clone().try_get_matches_from(line).err();
            // Missing arguments and other errors do not matter here.
            if let Some(error) =
                error.filter(|error| matches!(error.kind(), Kind::ValueValidation | Kind::InvalidValue))
            {
                let message = exit::with_plain_message(error).to_string();
                let message = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
                return Err(format!("{}: {}", default.origin, message.trim_start_matches(&format!("--{long}: "))));
            }
        }
        Ok(())
    }
}

/// Whether two options conflict.
fn exclude(command: &Command, one: &Arg, other: &Arg) -> bool {
    let conflicts = |one: &Arg, other: &Arg| {
        command.get_arg_conflicts_with(one).iter().any(|found| found.get_id() == other.get_id())
    };
    conflicts(one, other) || conflicts(other, one)
}

/// Whether a key of the file names an option, directly or by an alias.
fn is_named(option: &Arg, key: &str) -> bool {
    let key = key.replace('_', "-");
    option.get_long() == Some(&key) || option.get_all_aliases().unwrap_or_default().contains(&key.as_str())
}

fn subcommand<'a>(command: &'a Command, name: &String) -> Option<&'a Command> {
    command.get_subcommands().find(|inner| inner.get_name() == name)
}

/// The options of a command that can have a user default.
fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|option| option.get_long().is_some_and(|long| !NEVER.contains(&long)))
}

fn is_flag(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::SetTrue)
}

/// The environment variable of an option: `LUCIDA_TRAIN_MNIST_BATCH_SIZE`.
fn variable(path: &[String], long: &str) -> String {
    let words = ["lucida".to_owned()].into_iter().chain(path.iter().cloned()).chain([long.to_owned()]);
    words.collect::<Vec<_>>().join("_").replace('-', "_").to_uppercase()
}

/// A TOML value as command-line text.
fn text(value: &Value) -> Option<OsString> {
    Some(match value {
        Value::String(text) => text.into(),
        Value::Integer(number) => number.to_string().into(),
        Value::Float(number) => number.to_string().into(),
        Value::Boolean(value) => value.to_string().into(),
        _ => return None,
    })
}
