//! The command line of Lucida: parses, calls the library, prints. It has no logic of its own.
//!
//! Exit codes: 0 done, 1 a run that failed, 2 a wrong command line, 130 stopped by Ctrl-C after saving what there was.

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
