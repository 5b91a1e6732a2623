//! What is printed, and where: results on standard output, everything else on standard error.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Error, Result};
use lucida::files;
use serde::Serialize;

/// How much is printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    quiet: bool,
    verbose: bool,
    silent: bool,
    /// Whether standard output is for a file that was asked for.
    taken: bool,
}

impl Output {
    pub(crate) fn new(quiet: bool, verbose: bool) -> Self {
        Self { quiet, verbose, silent: false, taken: false }
    }

    /// Prints nothing at all: somebody else does.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    pub(crate) fn silenced(self) -> Self {
        Self { quiet: true, verbose: false, silent: true, ..self }
    }

    /// Whether details are wanted.
    pub(crate) fn verbose(self) -> bool {
        self.verbose
    }

    /// Whether only results are wanted.
    pub(crate) fn quiet(self) -> bool {
        self.quiet
    }

    /// Whether a person watches: both streams are a terminal.
    pub(crate) fn is_watched(self) -> bool {
        io::stdout().is_terminal() && io::stderr().is_terminal()
    }

    /// The same, for results and errors alone if `quiet`.
    pub(crate) fn quieted(self, quiet: bool) -> Self {
        Self { quiet: self.quiet || quiet, ..self }
    }

    /// The same, but on standard error if standard output is `taken` by a file that was asked for.
    pub(crate) fn sharing_stdout(self, taken: bool) -> Self {
        Self { taken: self.taken || taken, ..self }
    }

    /// Where results go.
    fn stream(self) -> Box<dyn Write> {
        if self.taken { Box::new(io::stderr().lock()) } else { Box::new(io::stdout().lock()) }
    }

    /// Prints a part of the result. Where nobody reads on, as with `| head`, the command continues: its results may be
    /// in files.
    pub(crate) fn result(self, text: &str) -> Result<()> {
        if self.silent {
            return Ok(());
        }
        let mut out = self.stream();
        let text = printable(text);
        let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritable(error)),
            _ => Ok(()),
        }
    }

    /// Prints a line of the result with names in it that may be of anyone's making: a line break in one does not end the line.
    pub(crate) fn line(self, text: &str) -> Result<()> {
        self.result(&text.replace('\n', "\\n"))
    }

    /// Says as a part of the result where it is: `Written to out.png: 3 images`. Not of standard output, as everyone can
    /// see that.
    pub(crate) fn written(self, path: &Path, what: &str) -> Result<()> {
        if files::is_stdout(path) { Ok(()) } else { self.result(&written_to(path, what)) }
    }

    /// As [`written`](Self::written), for what is not printed with `--quiet`.
    pub(crate) fn also_written(self, path: &Path, what: &str) {
        if !files::is_stdout(path) {
            self.info(&written_to(path, what));
        }
    }

    /// Prints a value as one JSON object, the whole of the result.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<()> {
        self.result(&as_json(value)?)
    }

    /// Prints one JSON document for a command on one image or several: the object of one, an array of those of several.
    pub(crate) fn json_of_images(self, images: &[String]) -> Result<()> {
        match images {
            [one] => self.result(one),
            all => self.result(&format!("[{}]", all.join(",\n"))),
        }
    }

    /// Prints what accompanies a long run, unless quiet was asked for. A run does not end because nobody reads along:
    /// its results are in files.
    pub(crate) fn info(self, text: &str) {
        if !self.quiet {
            let mut out = self.stream();
            let _ = writeln!(out, "{}", printable(text)).and_then(|()| out.flush());
        }
    }

    /// Prints a remark on standard error, unless quiet was asked for.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            // In one piece: other processes may write to the same place.
            let _ = io::stderr().write_all(format!("note: {}\n", printable(text)).as_bytes());
        }
    }
}

fn written_to(path: &Path, what: &str) -> String {
    let colon = if what.is_empty() { "" } else { ": " };
    format!("Written to {}{colon}{what}", path.display())
}

/// Text without what a terminal obeys: names of files, classes and layers come from strangers. Control characters are shown as
/// escapes, `\u{1b}`, and so are those that change the direction of writing, which make a name look like another one.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let is_obeyed = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_obeyed) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_obeyed(c) { safe.extend(c.escape_default()) } else { safe.push(c) }
    }
    safe.into()
}

/// A value as JSON.
pub(crate) fn as_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).context("cannot write the result as JSON")
}

/// Standard output that cannot be written.
pub(crate) fn unwritable(error: io::Error) -> Error {
    Error::new(error).context("cannot write to standard output")
}

/// A part as per cent with two decimals: `99.18 %`.
pub(crate) fn percent(part: impl Into<f64>) -> String {
    format!("{:.2} %", 100.0 * part.into())
}

/// A time as people say it: `3.2 s`, or `2:05 min`.
pub(crate) fn seconds(time: f64) -> String {
    if time < 60.0 { format!("{time:.1} s") } else { format!("{}:{:02} min", time as u64 / 60, time as u64 % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_obey_nothing_of_a_name() {
        assert_eq!(printable("a\tb\nKätzchen 猫.jpg"), "a\tb\nKätzchen 猫.jpg");
        assert_eq!(printable("\x1b[2Ja\rb\u{9b}c\u{202e}gpj.exe"), "\\u{1b}[2Ja\\rb\\u{9b}c\\u{202e}gpj.exe");
    }

    #[test]
    fn shares_as_people_read_them() {
        assert_eq!(percent(0.99184_f64), "99.18 %");
        assert_eq!(seconds(3.24), "3.2 s");
        assert_eq!(seconds(125.9), "2:05 min");
    }
}
