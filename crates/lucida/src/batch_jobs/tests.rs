//! Jobs by one process and by threads, interrupted and run again.

use std::cell::Cell;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::{Value, json};

use super::*;

fn folder_of_images(root: &Path) {
    for (name, gray) in [("a/1.png", 1), ("a/2.png", 2), ("b/1.png", 3), ("b/deep/4.png", 4)] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        Image::filled(2, 2, &[gray]).save_png(&path).unwrap();
    }
    fs::write(root.join("b/broken.jpg"), b"no image").unwrap();
    fs::write(root.join("b/notes.txt"), b"no image, and not called one").unwrap();
}

fn gray(image: &Image, _: &ResultPath) -> Result<Answer> {
    Ok(Answer::from_iter([("gray".to_owned(), Value::from(image.pixels()[0]))]))
}

fn lines(out: &Path) -> Vec<(String, u64)> {
    let text = fs::read_to_string(out.join("results.jsonl")).unwrap();
    let line = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        (value["item"].as_str().unwrap().to_owned(), value["gray"].as_u64().unwrap())
    };
    text.lines().map(line).collect()
}

#[test]
fn a_job_that_was_stopped_does_the_rest_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (root, out) = (folder.path().join("photos"), folder.path().join("out"));
    folder_of_images(&root);
    let source = Source::of(root.to_str().unwrap()).unwrap();
    let results = Results::create(&out, &json!({"question": "gray"})).unwrap();
    let asked = Cell::new(0);
    let mut question = |image: &Image, place: &ResultPath| {
        asked.set(asked.get() + 1);
        gray(image, place)
    };
    // Stop before the third item.
    let mut stop = |_: &Step<'_>| if asked.get() < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    let stopped = run(&SingleProcess, &source, &results, &mut question, &mut stop);
    assert!(matches!(stopped, Err(Error::Interrupted)) && !out.join("results.jsonl").exists());
    let summary = run(&SingleProcess, &source, &results, &mut question, &mut ()).unwrap().unwrap();
    assert_eq!((summary, asked.get()), (Summary { items: 5, before: 2, done: 4, failed: 1 }, 4));
    let expected = [("a/1.png", 1), ("a/2.png", 2), ("b/1.png", 3), ("b/deep/4.png", 4)];
    assert_eq!(lines(&out), expected.map(|(name, gray)| (name.to_owned(), gray)));
    let failures = fs::read_to_string(out.join("failures.csv")).unwrap();
    assert!(failures.starts_with("item,error\nb/broken.jpg,") && failures.lines().count() == 2, "{failures}");
    // A failed item is tried again, and succeeds once the file is repaired.
    Image::filled(2, 2, &[5]).save_png(root.join("b/good.png")).unwrap();
    fs::rename(root.join("b/good.png"), root.join("b/broken.jpg")).unwrap();
    let summary = run(&SingleProcess, &source, &results, &mut question, &mut ()).unwrap().unwrap();
    assert_eq!((summary, asked.get()), (Summary { items: 5, before: 4, done: 5, failed: 0 }, 5));
    assert!(lines(&out).contains(&("b/broken.jpg".to_owned(), 5)) && !out.join("failures.csv").exists());
    // Another job cannot use this folder.
    let problem = Results::create(&out, &json!({"question": "color"})).unwrap_err().to_string();
    assert!(problem.contains("another job") && problem.contains("gray"), "{problem}");
}

#[test]
fn lists_name_images_relative_to_themselves() {
    let folder = tempfile::tempdir().unwrap();
    folder_of_images(folder.path());
    let list = folder.path().join("list.txt");
    fs::write(&list, "# some\nb/1.png\n\n a/2.png \nb/1.png\nmissing.png\n").unwrap();
    let source = Source::of(list.to_str().unwrap()).unwrap();
    assert_eq!(source.list().unwrap(), ["b/1.png", "a/2.png", "missing.png"]);
    let out = folder.path().join("out");
    let results = Results::create(&out, &Value::Null).unwrap();
    let summary = run(&SingleProcess, &source, &results, &mut gray, &mut ()).unwrap().unwrap();
    assert_eq!(summary, Summary { items: 3, before: 0, done: 2, failed: 1 });
    assert_eq!(lines(&out), [("b/1.png".to_owned(), 3), ("a/2.png".to_owned(), 2)]);
    assert!(Source::of("nowhere/at/all").unwrap_err().to_string().contains("nowhere/at/all"));
}

#[test]
fn names_that_look_alike_have_places_of_their_own() {
    let results = Results::at(Path::new("out"));
    let places =
        ["a/1.png", "b/1.png", "a_1.png", "https://host/1.png"].map(|item| results.result_path(item).file("json"));
    for (index, place) in places.iter().enumerate() {
        assert!(places[..index].iter().all(|other| other != place), "{}", place.display());
    }
}
