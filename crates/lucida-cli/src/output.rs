//! What the command prints: results on standard output, everything else on standard error.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Error, Result};
use lucida::files;
use serde::Serialize;

/// Verbosity, and the stream that results go to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    quiet: bool,
    verbose: bool,
    silent: bool,
    /// Whether an output file is written to standard output, so that text must go to standard error.
    taken: bool,
}

impl Output {
    pub(crate) fn new(quiet: bool, verbose: bool) -> Self {
        Self { quiet, verbose, silent: false, taken: false }
    }

    /// Prints nothing: another process of the group does.
    #[cfg_attr(not(feature = "mpi"), allow(dead_code))]
    pub(crate) fn without_output(self) -> Self {
        Self { quiet: true, verbose: false, silent: true, ..self }
    }

    /// Whether to print details.
    pub(crate) fn verbose(self) -> bool {
        self.verbose
    }

    /// Whether to print results only.
    pub(crate) fn quiet(self) -> bool {
        self.quiet
    }

    /// Whether both streams are terminals.
    pub(crate) fn is_terminal(self) -> bool {
        io::stdout().is_terminal() && io::stderr().is_terminal()
    }

    /// The same output, reduced to results and errors if `quiet`.
    pub(crate) fn quieted(self, quiet: bool) -> Self {
        Self { quiet: self.quiet || quiet, ..self }
    }

    /// The same output, redirected to standard error if a file is written to standard output (`taken`).
    pub(crate) fn sharing_stdout(self, taken: bool) -> Self {
        Self { taken: self.taken || taken, ..self }
    }

    /// The stream for results.
    fn stream(self) -> Box<dyn Write> {
        if self.taken { Box::new(io::stderr().lock()) } else { Box::new(io::stdout().lock()) }
    }

    /// Prints a part of the result. A closed pipe, as with `| head`, is not an error: other results may still be written to
    /// files.
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

    /// Prints one line of the result. Line breaks are escaped, since names in the text may contain any character.
    pub(crate) fn line(self, text: &str) -> Result<()> {
        self.result(&text.replace('\n', "\\n"))
    }

    /// Prints, as part of the result, where a file was written: `Written to out.png: 3 images`. Silent for standard output.
    pub(crate) fn written(self, path: &Path, what: &str) -> Result<()> {
        if files::is_stdout(path) { Ok(()) } else { self.result(&written_to(path, what)) }
    }

    /// Like [`written`](Self::written), but not printed with `--quiet`.
    pub(crate) fn also_written(self, path: &Path, what: &str) {
        if !files::is_stdout(path) {
            self.info(&written_to(path, what));
        }
    }

    /// Prints a value as one JSON object: the whole result.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<()> {
        self.result(&as_json(value)?)
    }

    /// Prints one JSON document for a command on one or several images: a single object, or an array of them.
    pub(crate) fn json_of_images(self, images: &[String]) -> Result<()> {
        match images {
            [one] => self.result(one),
            all => self.result(&format!("[{}]", all.join(",\n"))),
        }
    }

    /// Prints progress of a long run, unless quiet. Write errors are ignored, since the results are in files.
    pub(crate) fn info(self, text: &str) {
        if !self.quiet {
            let mut out = self.stream();
            let _ = writeln!(out, "{}", printable(text)).and_then(|()| out.flush());
        }
    }

    /// Prints a note on standard error, unless quiet.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            self.problem(text);
        }
    }

    /// Prints a note that a part of the results is missing, with `--quiet` too.
    pub(crate) fn problem(self, text: &str) {
        if !self.silent {
            // One write call: other processes may write to the same stream.
            let _ = io::stderr().write_all(format!("note: {}\n", printable(text)).as_bytes());
        }
    }
}

fn written_to(path: &Path, what: &str) -> String {
    let colon = if what.is_empty() { "" } else { ": " };
    format!("Written to {}{colon}{what}", path.display())
}

/// Makes untrusted text (names of files, classes, layers) safe to print on a terminal. Control characters are escaped, as in
/// `\u{1b}`, and so are those that change the text direction, which can disguise a name.
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

/// Error for a failed write to standard output.
pub(crate) fn unwritable(error: io::Error) -> Error {
    Error::new(error).context("cannot write to standard output")
}

/// A fraction as a percentage with two decimals: `99.18 %`.
pub(crate) fn percent(part: impl Into<f64>) -> String {
    format!("{:.2} %", 100.0 * part.into())
}

/// A duration as `3.2 s` or `2:05 min`.
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
