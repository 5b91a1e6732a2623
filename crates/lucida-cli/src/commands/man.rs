//! `lucida man`

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use lucida::files;

use super::Context;
use crate::cli::{self, Cli};

pub(super) fn run(arguments: &cli::Man, context: Context) -> Result<()> {
    let mut command = Cli::command();
    command.build();
    let Some(folder) = &arguments.out else {
        return context.output.result(String::from_utf8_lossy(&page(command)?).trim_end());
    };
    let mut pages = Vec::new();
    collect(&command, "lucida", &mut pages)?;
    let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    let earlier = files::claim_folder(folder, &names, arguments.force)?;
    for (name, page) in &pages {
        files::write_bytes(folder.join(name), page)?;
    }
    earlier.discard()?;
    context.output.written(folder, &format!("{} manual pages", pages.len()))
}

fn page(command: Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}

/// Collects the man pages of a command and its subcommands, with their file names.
fn collect(command: &Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    pages.push((format!("{name}.1"), page(command.clone().name(name.to_owned()))?));
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help" && !inner.is_hide_set()) {
        collect(inner, &format!("{name}-{}", inner.get_name()), pages)?;
    }
    Ok(())
}
