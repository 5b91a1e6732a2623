//! The command-line interface of Lucida: it parses arguments, calls the library and prints results, with no logic of its
//! own.
//!
//! Exit codes: 0 success, 1 failed run, 2 invalid command line, 130 stopped by Ctrl-C after saving the results so far.

mod arguments;
mod bar;
mod cli;
mod commands;
mod config;
mod dashboard;
mod estimate;
mod exit;
mod interrupt;
mod numbers;
mod output;
mod progress;
mod show;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse() {
        Ok(cli) => exit::of_run(commands::run(&cli)),
        Err(answer) => exit::of_parsing(answer),
    }
}
