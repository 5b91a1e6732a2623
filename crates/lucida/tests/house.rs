//! Project rules: library modules only use modules below them, the files of `nn` have no cyclic dependencies, and texts use
//! the terms of the field.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the library from the bottom up: each may use those before it.
const ORDER: [&str; 17] = [
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
    "prelude",
    "lib",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The Rust files under a folder, without test files.
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

/// The code of a file, without comments and anything from `#[cfg(test)]` on.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The paths of all `use` declarations, one per name: `a::{b, c::d}` gives `a::b` and `a::c::d`.
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
        // Inline paths count as well.
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

/// Dependencies between the files of `nn`, with re-exported names resolved.
struct Arrows {
    root: PathBuf,
    all: BTreeSet<PathBuf>,
}

impl Arrows {
    /// Returns the file of a module, or the file that defines a re-exported name: `segments` is the path below `nn`.
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

    /// Returns the file that a name re-exported by a `mod.rs` comes from.
    fn exported(&self, file: &Path, folder: &Path, name: &[String]) -> Option<PathBuf> {
        let own: Vec<String> =
            folder.strip_prefix(&self.root).ok()?.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let mut found =
            used(&code(file)).into_iter().filter(|path| path.split("::").last() == name.first().map(String::as_str));
        // A macro is re-exported under its own name, from this file.
        let itself = |path: &String| name.first() == Some(path);
        let path = found.find(|path| {
            !path.starts_with("crate::") && !path.starts_with("std::") && !path.starts_with("super::") && !itself(path)
        })?;
        let segments: Vec<String> = own.into_iter().chain(path.split("::").map(str::to_owned)).collect();
        self.resolve(&segments).filter(|found| found != file)
    }

    /// Returns the files of `nn` that a file uses.
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
    // A file without dependencies is not part of a cycle.
    while let Some(file) = left.iter().find(|(_, uses)| uses.is_empty()).map(|(file, _)| file.clone()) {
        left.remove(&file);
        left.values_mut().for_each(|uses| {
            uses.remove(&file);
        });
    }
    // Nor is a file that no other uses.
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

/// Phrases that must not be used in code, help, and docs.
struct Banned {
    /// Phrases in lower case; `*` stands for any word.
    phrases: &'static [&'static str],
    better: &'static str,
    /// Longer phrases that contain them and are allowed.
    fine: &'static [&'static str],
    /// Allowed lines: start of the path, and a part of the line; an empty part matches all lines.
    except: &'static [(&'static str, &'static str)],
}

const BANNED: &[Banned] = &[
    Banned { phrases: &["way back"], better: "backward pass", fine: &[], except: &[] },
    Banned {
        phrases: &["pass forward", "passes forward", "pass backward", "passes backward"],
        better: "forward pass, backward pass",
        fine: &[],
        except: &[],
    },
    Banned {
        phrases: &["is no", "are no", "was no", "were no"],
        better: "is not a",
        fine: &[
            "there is no",
            "there are no",
            "there was no",
            "there were no",
            "is no longer",
            "are no longer",
            "was no longer",
            "were no longer",
            "is no more",
            "are no more",
            "is no larger",
            "is no smaller",
            "is no better",
            "is no nearer",
        ],
        except: &[],
    },
    Banned {
        phrases: &["makes of", "make of", "made of it", "made of them"],
        better: "name the result: features, activations, prediction",
        fine: &[],
        except: &[],
    },
    Banned {
        phrases: &["tell apart", "tells apart", "told apart", "tell * apart", "tells * apart", "telling * apart"],
        better: "classify, distinguish",
        fine: &[],
        except: &[],
    },
    Banned {
        phrases: &["take * apart", "take * * apart", "takes apart", "taken apart", "taking apart", "taking * apart"],
        better: "inspect, explain, split",
        fine: &[],
        // The slogan.
        except: &[
            ("README.md", "Train convolutional networks, take them apart,"),
            ("crates/lucida-cli/src/cli.rs", "Train convolutional networks, take them apart,"),
            ("docs/commands.md", "Train convolutional networks, take them apart,"),
            ("crates/lucida/src/lib.rs", "train convolutional networks, take them apart,"),
        ],
    },
    Banned {
        phrases: &["taken for", "take it for", "takes it for", "take them for", "takes them for"],
        better: "classified as, mistaken for, treated as",
        fine: &[],
        // Titles drawn into images.
        except: &[("crates/lucida/src/report/images.rs", "digits(")],
    },
    Banned { phrases: &["so many"], better: "name the number", fine: &[], except: &[] },
    Banned { phrases: &["unless told"], better: "by default", fine: &[], except: &[] },
    Banned {
        phrases: &["beside", "besides"],
        better: "next to, compared with, in addition to",
        fine: &[],
        // A method, and the CSS class of the element that it writes.
        except: &[
            ("crates/lucida/src/plot/report/", ".beside"),
            ("crates/lucida/src/plot/report/content.rs", "fn beside("),
            ("crates/lucida/src/plot/report/content.rs", "<div class="),
            ("crates/lucida/src/report/", ".beside("),
        ],
    },
    Banned {
        phrases: &["go on", "goes on", "going on", "gone on", "went on"],
        better: "continue, resume",
        fine: &[],
        except: &[],
    },
    Banned { phrases: &["is there already", "are there already"], better: "already exists", fine: &[], except: &[] },
    Banned { phrases: &["be had"], better: "is available, can be computed", fine: &[], except: &[] },
    Banned { phrases: &["make no sense", "makes no sense"], better: "is invalid", fine: &[], except: &[] },
    Banned { phrases: &["it gets wrong", "gets * wrong"], better: "misclassified", fine: &[], except: &[] },
    Banned { phrases: &["look into", "looks into", "looking into"], better: "inspect", fine: &[], except: &[] },
    Banned {
        phrases: &["excite", "excites", "excited", "exciting"],
        better: "activate, maximize",
        fine: &[],
        except: &[],
    },
    Banned {
        phrases: &["paint"],
        better: "stylize",
        fine: &[],
        except: &[
            // The fill or stroke of a shape, as in SVG.
            ("crates/lucida/src/plot/", ""),
            // The id of a button.
            ("crates/lucida-studio/", "id=\"paint\""),
            ("crates/lucida-studio/", "#paint"),
        ],
    },
    Banned {
        phrases: &["paints", "painted", "painting", "paintings"],
        better: "stylized image, style transfer",
        // Works of an artist.
        fine: &["photo of a painting", "style of the painting", "painting jpg"],
        except: &[
            // Names of files and of what they contain, and ids of elements.
            ("", "painting.jpg"),
            ("", "painting.png"),
            ("crates/lucida/src/report/stylized.rs", "cat-painted.png"),
            ("crates/lucida-cli/src/commands/style.rs", "\"painting\": "),
            ("crates/lucida-studio/", "painting-title"),
            ("crates/lucida-studio/", "#painting-"),
        ],
    },
    Banned {
        phrases: &["picture", "pictures"],
        better: "image",
        fine: &["training pictures", "validation pictures"],
        except: &[
            // Names of files and of what they contain, and fields sent by older clients.
            ("crates/", "tests/pictures"),
            ("crates/lucida/src/train/checkpoint.rs", "replace(\"pictures\", \"images\")"),
            ("crates/lucida-cli/src/commands/bulk.rs", "\"pictures\": "),
            ("crates/lucida-studio/", "picture.png"),
            ("crates/lucida-studio/", "\"picture\""),
            ("crates/lucida-studio/", "`picture`"),
            ("crates/lucida-studio/web/js/", ".picture"),
        ],
    },
    Banned { phrases: &["film", "films"], better: "video", fine: &[], except: &[] },
    Banned { phrases: &["whatever becomes"], better: "ignore", fine: &[], except: &[] },
    Banned { phrases: &["is to be known", "are to be known"], better: "note that", fine: &[], except: &[] },
    Banned { phrases: &["knows strokes", "know strokes"], better: "captures strokes", fine: &[], except: &[] },
    Banned { phrases: &["best that is there"], better: "best available", fine: &[], except: &[] },
    Banned { phrases: &["as it becomes"], better: "intermediate", fine: &[], except: &[] },
    Banned { phrases: &["what spoke for"], better: "evidence for", fine: &[], except: &[] },
    Banned { phrases: &["half a turn"], better: "180°", fine: &[], except: &[] },
    Banned { phrases: &["enough to do"], better: "busy", fine: &[], except: &[] },
    Banned { phrases: &["no such thing"], better: "not found", fine: &[], except: &[] },
    Banned { phrases: &["least loss"], better: "lowest loss", fine: &[], except: &[] },
    Banned { phrases: &["what it has told"], better: "its events", fine: &[], except: &[] },
];

/// A word of a text.
struct Word {
    line: usize,
    text: String,
    /// Whether only white space and comment markers separate it from the previous word.
    follows: bool,
}

/// Splits a text into words in lower case. An identifier is one word.
fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        // Comment and string markers at a line break do not separate words.
        let mut follows = true;
        let mut rest = line.trim_start().trim_start_matches(['/', '!', '*']);
        while let Some(start) = rest.find(is_word) {
            follows &= rest[..start].chars().all(char::is_whitespace);
            let end = rest[start..].find(|c| !is_word(c)).map_or(rest.len(), |len| start + len);
            words.push(Word { line: number + 1, text: rest[start..end].to_lowercase(), follows });
            rest = &rest[end..];
            follows = true;
        }
        // Punctuation at the end of a line separates words.
        if rest.trim_end_matches('\\').contains(|c: char| !c.is_whitespace()) {
            words.push(Word { line: number + 1, text: String::new(), follows: false });
        }
    }
    words
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether the words starting at `at` match this phrase.
fn stands(words: &[Word], at: usize, phrase: &str) -> bool {
    phrase.split(' ').enumerate().all(|(number, part)| {
        let word = words.get(at + number);
        word.is_some_and(|word| (part == "*" || part == word.text) && (number == 0 || word.follows))
    })
}

/// Finds the banned phrases of a text, formatted as `line: phrase`.
fn banned(path: &str, text: &str) -> Vec<String> {
    let (words, lines) = (words(text), text.lines().collect::<Vec<_>>());
    let mut found = Vec::new();
    for entry in BANNED {
        for at in 0..words.len() {
            let Some(phrase) = entry.phrases.iter().find(|phrase| stands(&words, at, phrase)) else { continue };
            // The longest allowed phrase starts three words before the banned one.
            let fine = (at.saturating_sub(3)..=at).any(|from| {
                let around = |fine: &&&str| from + fine.split(' ').count() > at && stands(&words, from, fine);
                entry.fine.iter().any(|fine| around(&fine))
            });
            let line = words[at].line;
            let excepted = |&(start, part): &(&str, &str)| path.starts_with(start) && lines[line - 1].contains(part);
            if !fine && !entry.except.iter().any(excepted) {
                found.push(format!("{path}:{line}: \"{phrase}\" ({})", entry.better));
            }
        }
    }
    found
}

/// Collects the files under a folder with these extensions.
fn texts(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
            texts(&path, endings, found);
        } else if endings.contains(&ending.as_str()) {
            found.push(path);
        }
    }
}

#[test]
fn texts_use_the_terms_of_the_field() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = Vec::new();
    texts(&root.join("crates"), &["rs", "html", "js", "css", "md"], &mut paths);
    for folder in ["docs", "bench", "assets", "fuzz"] {
        texts(&root.join(folder), &["md"], &mut paths);
    }
    let top = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    paths.extend(top.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    paths.sort();
    assert!(paths.len() > 400, "the texts are found");
    let mut wrong = Vec::new();
    for path in paths {
        let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        if !file!().replace('\\', "/").ends_with(&name) {
            wrong.extend(banned(&name, &fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(wrong.is_empty(), "{} banned phrases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn banned_phrases_are_found_where_they_stand() {
    let found = |text: &str| banned("docs/a.md", text).len();
    assert_eq!(found("/// The gradient on the way\n    /// back to the image. It goes on."), 2);
    assert_eq!(found("A file that is no image; Pictures,\nfilms"), 3);
    assert_eq!(found("told them apart. They tell\n//! them apart"), 1);
    // No match across sentences, within words, in identifiers, or within an allowed phrase.
    assert_eq!(found("It shows the way. Back at the start, it is. No image is left:\nso\n\nmany_pictures filmed"), 0);
    assert_eq!(found("There is no image, and it is no longer a photo of a painting"), 0);
    assert_eq!(banned("docs/a.md", "x\nthe film"), ["docs/a.md:2: \"film\" (video)"]);
    assert_eq!(banned("crates/lucida/src/plot/a.rs", "Paint::Ink"), [""; 0]);
}
