//! The documentation can be searched with the terms of the field, and its links resolve.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::run;

/// Terms that a reader who knows Keras or PyTorch searches for.
const TERMS: [&str; 34] = [
    "accuracy",
    "activation maximization",
    "attribution",
    "batch size",
    "calibration",
    "class weights",
    "confusion matrix",
    "cross-entropy",
    "data augmentation",
    "deconvnet",
    "DeepDream",
    "dropout",
    "early stopping",
    "embedding",
    "feature maps",
    "feature visualization",
    "fine-tuning",
    "Grad-CAM",
    "Gram matrix",
    "label smoothing",
    "learning curves",
    "learning rate",
    "nearest neighbors",
    "optimizer",
    "overfitting",
    "preprocessing",
    "receptive field",
    "ROC AUC",
    "saliency map",
    "t-SNE",
    "total variation",
    "transfer learning",
    "transposed convolution",
    "weight decay",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The help of all commands, in lower case.
fn help() -> String {
    let commands = run(["--help"]);
    let names = commands
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()));
    let each = names.filter(|name| *name != "help").map(|name| run([name, "--help"]));
    each.collect::<String>().to_lowercase()
}

#[test]
fn terms_of_the_field_are_found() {
    let index = fs::read_to_string(root().join("docs/README.md")).unwrap().to_lowercase();
    let help = help();
    assert!(help.contains("--batch-size"), "the help of the commands is read");
    let found = |term: &&str| index.contains(&term.to_lowercase()) || help.contains(&term.to_lowercase());
    let missing: Vec<_> = TERMS.iter().filter(|term| !found(term)).collect();
    assert!(missing.is_empty(), "neither in docs/README.md nor in a help text: {missing:?}");
}

/// The Markdown files under a folder, without those of builds, packages and hidden folders.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap_or_default());
        if entry.file_type().unwrap().is_dir() {
            if !["target", "node_modules"].contains(&name.as_str()) && !name.starts_with('.') {
                pages(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The lines of a page outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let count = seen.entry(anchor.clone()).or_default();
            *count += 1;
            if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
        })
        .collect()
}

/// The targets of the links and images in a page, outside of code.
fn targets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        // Every second part of a line split at backticks is code, but a link's text may be code as well.
        let no_code: Vec<&str> = line.split('`').step_by(2).collect();
        for part in no_code.join("").split("](").skip(1) {
            found.push(part.split([')', ' ']).next().unwrap_or_default().to_owned());
        }
    }
    found
}

/// The links of a page that lead nowhere.
fn broken(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let leads_nowhere = |target: &String| {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let file = if path.is_empty() { page.to_owned() } else { page.parent().unwrap().join(path) };
        if anchor.is_empty() {
            return !file.exists();
        }
        !fs::read_to_string(&file).is_ok_and(|text| anchors(&text).iter().any(|known| known == anchor))
    };
    let is_local = |target: &String| !target.contains("://") && !target.starts_with("mailto:");
    targets(&text).into_iter().filter(is_local).filter(leads_nowhere).collect()
}

#[test]
fn links_and_anchors_resolve() {
    let root = root();
    let mut all = Vec::new();
    pages(&root, &mut all);
    assert!(all.len() > 20, "the pages are found: {}", all.len());
    let wrong: Vec<String> = all
        .iter()
        .flat_map(|page| broken(page).into_iter().map(move |target| (page, target)))
        .map(|(page, target)| format!("{}: {target}", page.strip_prefix(&root).unwrap().display()))
        .collect();
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn a_broken_link_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (page, other) = (folder.path().join("a.md"), folder.path().join("b.md"));
    fs::write(&other, "# Top\n## A `word`, 2!\n## Same\n## Same\n```\n# no heading\n```\n").unwrap();
    let links =
        "[x](b.md) [`x`](b.md#a-word-2) ![x](b.md#same-1) [x](https://none.example/a) `[x](code)` [x](#here)\n# Here\n";
    fs::write(&page, links).unwrap();
    assert_eq!(broken(&page), [""; 0]);
    fs::write(&page, "[x](c.md) and [x](b.md#no-heading), [x](b.md#same-2) [x](#there)\n```\n[x](code)\n```\n")
        .unwrap();
    assert_eq!(broken(&page), ["c.md", "b.md#no-heading", "b.md#same-2", "#there"]);
}
