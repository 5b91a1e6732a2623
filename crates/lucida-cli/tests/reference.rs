//! The help of all commands, in one file to read and review: docs/commands.md. After a change to the help, `UPDATE=1 cargo
//! test --profile quick -p lucida-cli --test reference` regenerates it.

mod common;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use common::run;

/// The last line of docs/commands.md that is not generated.
const BEGINS: &str = "with UPDATE=1. -->\n";

/// The subcommands of a command, in the order of its help.
fn below(command: &[String]) -> Vec<Vec<String>> {
    let help = run(command.iter().map(String::as_str).chain(["-h"]));
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    // Names are indented by two spaces, continued descriptions by more.
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|&name| name != "help");
    names.map(|name| command.iter().cloned().chain([name.to_owned()]).collect()).collect()
}

/// A command and all its subcommands.
fn all(command: Vec<String>) -> Vec<Vec<String>> {
    let inner = below(&command).into_iter().flat_map(all).collect::<Vec<_>>();
    [vec![command], inner].concat()
}

fn reference() -> String {
    let mut text = String::new();
    for command in all(Vec::new()) {
        let words = command.iter().map(String::as_str);
        let name = ["lucida"].into_iter().chain(words.clone()).collect::<Vec<_>>().join(" ");
        let _ = write!(text, "\n## {name}\n\n```text\n{}\n```\n", run(words.chain(["--help"])).trim_end());
    }
    text
}

#[test]
fn docs_commands_md_is_the_help() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
    let page = fs::read_to_string(&path).unwrap();
    let end = page.find(BEGINS).expect("the line that ends the written part") + BEGINS.len();
    let reference = reference();
    assert!(reference.matches("\n## lucida").count() > 35, "all commands are found");
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{}{reference}", &page[..end])).unwrap();
        return;
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (page[end..].lines().collect(), reference.lines().collect());
    let differs = old.iter().zip(&new).position(|(old, new)| old != new).unwrap_or(old.len().min(new.len()));
    assert!(
        old == new,
        "docs/commands.md differs from the help: {:?} is {:?}; UPDATE=1 writes it anew",
        old.get(differs),
        new.get(differs)
    );
}
