//! The order of the house: no module of the library uses one that stands above it, and the files of `nn` use each other
//! in one direction.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the library from the ground up: each may use those before it.
const ORDER: [&str; 16] = [
    "error",
    "core",
    "guard",
    "similar",
    "files",
    "nn",
    "data",
    "weights",
    "model",
    "plot",
    "batch_jobs",
    "train",
    "explain",
    "style",
    "report",
    "lib",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The Rust files under a folder, without those of tests.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            found.extend(files(&path));
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "testing.rs" {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code of a file, without comments and without what follows `#[cfg(test)]`.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The paths of all `use` lines, one for each name: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn used(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        let visible = line.strip_prefix("pub").map_or(line, |rest| rest[rest.find(' ').unwrap_or(0)..].trim_start());
        let Some(rest) = visible.strip_prefix("use ") else { continue };
        let mut statement = rest.to_owned();
        while !statement.ends_with(';') {
            let Some(next) = lines.next() else { break };
            statement.push_str(next);
        }
        expand("", &statement.trim_end_matches(';').split_whitespace().collect::<String>(), &mut paths);
    }
    paths
}

fn expand(prefix: &str, rest: &str, paths: &mut Vec<String>) {
    let Some(open) = rest.find('{') else {
        if !rest.is_empty() {
            paths.push(format!("{prefix}{}", rest.trim_end_matches("::self")));
        }
        return;
    };
    let prefix = format!("{prefix}{}", &rest[..open]);
    let inner = &rest[open + 1..rest.rfind('}').unwrap_or(rest.len())];
    let (mut depth, mut start) = (0, 0);
    for (at, byte) in inner.bytes().chain([b',']).enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                let item = &inner[start..at];
                start = at + 1;
                if item == "self" {
                    paths.push(prefix.trim_end_matches("::").to_owned());
                } else {
                    expand(&prefix, item, paths);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn modules_use_only_those_before_them() {
    let root = source();
    let rank = |module: &str| ORDER.iter().position(|&name| name == module);
    let mut wrong = Vec::new();
    for path in files(&root) {
        let relative = path.strip_prefix(&root).unwrap().to_string_lossy().replace(".rs", "");
        let own = relative.split('/').next().unwrap();
        let own_rank = rank(own).unwrap_or_else(|| panic!("module {own} is not in the order of the house"));
        let code = code(&path);
        // Paths in the midst of code count as well.
        let inline = code
            .match_indices("crate::")
            .map(|(at, _)| code[at + 7..].split(|c: char| !c.is_alphanumeric() && c != '_'));
        let modules = inline.filter_map(|mut parts| parts.next().map(str::to_owned));
        let grouped = used(&code)
            .into_iter()
            .filter_map(|path| Some(path.strip_prefix("crate::")?.split("::").next()?.to_owned()));
        for module in modules.chain(grouped).collect::<BTreeSet<_>>() {
            if rank(&module).is_some_and(|rank| rank > own_rank) {
                wrong.push(format!("{relative} uses {module}"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the order {ORDER:?}:\n{}", wrong.join("\n"));
}

/// Where the names that modules of `nn` export again are defined, and which files use which.
struct Arrows {
    root: PathBuf,
    all: BTreeSet<PathBuf>,
}

impl Arrows {
    /// The file of a module, or of what it exports again: `segments` from `nn` on.
    fn resolve(&self, segments: &[String]) -> Option<PathBuf> {
        let mut folder = self.root.clone();
        let mut file = folder.join("mod.rs");
        for (number, segment) in segments.iter().enumerate() {
            let [leaf, inner] = [folder.join(format!("{segment}.rs")), folder.join(segment).join("mod.rs")];
            if self.all.contains(&leaf) {
                (file, folder) = (leaf, folder.join(segment));
            } else if self.all.contains(&inner) {
                (file, folder) = (inner, folder.join(segment));
            } else {
                return self.exported(&file, &folder, &segments[number..]).or(Some(file));
            }
        }
        Some(file)
    }

    /// The file where a name that a `mod.rs` exports again comes from.
    fn exported(&self, file: &Path, folder: &Path, name: &[String]) -> Option<PathBuf> {
        let own: Vec<String> =
            folder.strip_prefix(&self.root).ok()?.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let mut found =
            used(&code(file)).into_iter().filter(|path| path.split("::").last() == name.first().map(String::as_str));
        let path = found
            .find(|path| !path.starts_with("crate::") && !path.starts_with("std::") && !path.starts_with("super::"))?;
        let segments: Vec<String> = own.into_iter().chain(path.split("::").map(str::to_owned)).collect();
        self.resolve(&segments).filter(|found| found != file)
    }

    /// The files of `nn` that a file uses.
    fn of(&self, file: &Path) -> BTreeSet<PathBuf> {
        let relative = file.strip_prefix(&self.root).unwrap().with_extension("");
        let mut module: Vec<String> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        module.pop_if(|last| last == "mod");
        let from = |path: String| {
            let mut segments: Vec<String> = path.split("::").map(str::to_owned).collect();
            if segments[..segments.len().min(2)] == ["crate", "nn"] {
                return Some(segments.split_off(2));
            }
            let up = segments.iter().take_while(|segment| *segment == "super").count();
            (up > 0).then(|| [&module[..module.len() - up], &segments[up..]].concat())
        };
        let uses = used(&code(file)).into_iter().filter_map(from).filter_map(|segments| self.resolve(&segments));
        uses.filter(|used| used != file).collect()
    }
}

#[test]
fn files_of_the_engine_have_no_cycle() {
    let root = source().join("nn");
    let all: BTreeSet<PathBuf> = files(&root).into_iter().collect();
    let arrows = Arrows { root: root.clone(), all: all.clone() };
    let mut left: BTreeMap<PathBuf, BTreeSet<PathBuf>> =
        all.iter().map(|file| (file.clone(), arrows.of(file))).collect();
    assert!(left.values().map(BTreeSet::len).sum::<usize>() > 100, "the arrows are found");
    // What uses nothing that is left is in no cycle.
    while let Some(file) = left.iter().find(|(_, uses)| uses.is_empty()).map(|(file, _)| file.clone()) {
        left.remove(&file);
        left.values_mut().for_each(|uses| {
            uses.remove(&file);
        });
    }
    // Nor is what nothing that is left uses.
    while let Some(file) = left.keys().find(|file| !left.values().any(|uses| uses.contains(*file))).cloned() {
        left.remove(&file);
    }
    let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
    let cycle: Vec<String> = left
        .iter()
        .map(|(file, uses)| format!("{} uses {}", name(file), uses.iter().map(name).collect::<Vec<_>>().join(", ")))
        .collect();
    assert!(cycle.is_empty(), "cycles:\n{}", cycle.join("\n"));
}
