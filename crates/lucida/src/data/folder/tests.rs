use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use super::*;
use crate::core::Step;
use crate::data::{ColorMode, Dataset, Image};

/// Writes an image file of one color.
fn put(folder: &Path, name: &str, color: [u8; 3]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    Image::filled(8, 6, &color).save_png(&path).unwrap();
}

/// Creates `classes` folders `a`, `b`, ... with `count` images each, all different.
fn put_classes(folder: &Path, classes: u8, count: u8) {
    for class in 0..classes {
        for index in 0..count {
            put(folder, &format!("{}/{index}.png", char::from(b'a' + class)), [class, index, 7]);
        }
    }
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open(folder: &Path) -> Result<Folder> {
    Folder::builder(folder).split(0.25, 1).open()
}

/// The file names of a set, relative to the folder.
fn names(set: &FolderSet, root: &Path) -> Vec<String> {
    let name = |index| set.path(index).strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
    (0..set.len()).map(name).collect()
}

fn skipped(folder: &Folder, root: &Path) -> Vec<String> {
    let line =
        |skipped: &Skipped| format!("{}: {}", skipped.path.strip_prefix(root).unwrap().display(), skipped.reason);
    folder.skipped().iter().map(line).collect()
}

#[test]
fn classes_and_files_are_in_the_order_of_their_names() {
    let root = temporary();
    for (index, name) in
        ["dogs/b 2.png", "dogs/a.png", "Zebra/ä.png", "Zebra/z.png", "cats/deep/er/x.png", "cats/y.png"]
            .into_iter()
            .enumerate()
    {
        put(root.path(), name, [index as u8, 0, 0]);
    }
    // Hidden files do not belong to the data set.
    fs::write(root.path().join(".DS_Store"), "x").unwrap();
    fs::create_dir(root.path().join(".ipynb_checkpoints")).unwrap();
    let (set, skipped) = Folder::builder(root.path()).open_set().unwrap();
    assert_eq!(set.class_names(), ["Zebra", "cats", "dogs"]);
    let expected = ["Zebra/z.png", "Zebra/ä.png", "cats/y.png", "cats/deep/er/x.png", "dogs/a.png", "dogs/b 2.png"];
    assert_eq!(names(&set, root.path()), expected);
    assert_eq!(set.labels(), [0, 0, 1, 1, 2, 2]);
    assert_eq!((set.counts(), skipped.len()), (vec![2, 2, 2], 0));
    assert_eq!(set.summary(), "Found 6 images belonging to 3 classes.");
    assert_eq!(set.image(4).unwrap(), Image::filled(8, 6, &[1, 0, 0]));
}

#[test]
fn parts_are_recognized_by_their_names() {
    for (train, validation, test) in
        [("train", "validation", Some("test")), ("Training", "val", None), ("train", "test", None)]
    {
        let root = temporary();
        put_classes(&root.path().join(train), 2, 3);
        put(root.path(), &format!("{validation}/b/x.png"), [9, 9, 9]);
        test.into_iter().for_each(|test| put(root.path(), &format!("{test}/a/x.png"), [8, 8, 8]));
        put(root.path(), "other/x.png", [7, 7, 7]);
        fs::write(root.path().join("readme.txt"), "hello").unwrap();
        let folder = open(root.path()).unwrap();
        assert!(folder.summary().starts_with("Found "), "{}", folder.summary());
        let found = folder.validation.part_summary(Part::Validation);
        assert!(found.starts_with("Found 1 validation image belonging to "), "{found}");
        assert_eq!(names(&folder.validation, root.path()), [format!("{validation}/b/x.png")]);
        // The label of `b` is that in the training part, where it follows `a`.
        assert_eq!(folder.validation.labels(), [1]);
        assert_eq!(folder.test.as_ref().map(|test| test.labels()), test.map(|_| vec![0]));
        assert_eq!(
            folder.notes()[0],
            "class \"a\" has no validation image".replace(
                "validation",
                match validation {
                    "test" => "test",
                    _ => "validation",
                }
            )
        );
        assert_eq!(
            skipped(&folder, root.path()),
            [
                "other: lies next to the parts to train on and to validate with",
                "readme.txt: lies next to the parts, in no class"
            ]
        );
        // For display, the last part is opened.
        let (set, _) = Folder::builder(root.path()).open_set().unwrap();
        assert_eq!(
            names(&set, root.path()),
            [format!("{}/x.png", test.map_or(format!("{validation}/b"), |t| format!("{t}/a")))]
        );
    }
    // A class may be named `train`.
    let root = temporary();
    put(root.path(), "train/1.png", [1, 0, 0]);
    put(root.path(), "bus/1.png", [2, 0, 0]);
    assert_eq!(Folder::builder(root.path()).open_set().unwrap().0.class_names(), ["bus", "train"]);
}

#[test]
fn a_share_of_each_class_validates() {
    let root = temporary();
    put_classes(root.path(), 2, 8);
    let folder = open(root.path()).unwrap();
    assert_eq!((folder.train.counts(), folder.validation.counts()), (vec![6, 6], vec![2, 2]));
    let mut all = names(&folder.train, root.path());
    all.extend(names(&folder.validation, root.path()));
    all.sort();
    assert_eq!(all, names(&Folder::builder(root.path()).open_set().unwrap().0, root.path()));
    let validation =
        |seed| names(&Folder::builder(root.path()).split(0.25, seed).open().unwrap().validation, root.path());
    assert_eq!(validation(1), names(&folder.validation, root.path()));
    assert!((2..20).any(|seed| validation(seed) != validation(1)));
    assert!(
        Folder::builder(root.path()).split(1.0, 1).open().unwrap_err().to_string().contains("validation split is 1")
    );
}

#[test]
fn what_is_no_image_is_skipped_and_named() {
    let root = temporary();
    put_classes(root.path(), 2, 4);
    let at = |name: &str| root.path().join(name);
    fs::write(at("a/text.jpg"), "I am a text, honestly").unwrap();
    fs::write(at("a/empty.png"), "").unwrap();
    let whole = fs::read(at("b/0.png")).unwrap();
    fs::write(at("b/cut, \"short\".png"), &whole[..whole.len() - 20]).unwrap();
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut jpeg)
        .encode(&[9; 48 * 48 * 3], 48, 48, image::ExtendedColorType::Rgb8)
        .unwrap();
    fs::write(at("b/whole.jpg"), &jpeg).unwrap();
    fs::write(at("b/cut.jpg"), &jpeg[..jpeg.len() - 60]).unwrap();
    let mut huge = whole.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]); // 30,000 x 30,000
    fs::write(at("b/huge.png"), huge).unwrap();
    fs::write(at("extra.txt"), "x").unwrap();

    let folder = open(root.path()).unwrap();
    let lines = skipped(&folder, root.path());
    let expected = [
        ("a/empty.png", "not an image: the file is empty"),
        ("a/text.jpg", "not an image: it starts with"),
        ("b/cut, \"short\".png", "truncated"),
        ("b/cut.jpg", "truncated"),
        ("b/huge.png", ""),
        ("extra.txt", "not in the folder of a class"),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, (name, reason)) in lines.iter().zip(expected) {
        assert!(line.starts_with(&format!("{name}: ")) && line.contains(reason), "{line}");
        assert!(!line.contains(root.path().to_str().unwrap()), "{line}");
    }
    assert_eq!(folder.train.len() + folder.validation.len(), 9);

    let table = at("skipped.csv");
    save_skipped(folder.skipped(), &table).unwrap();
    let text = fs::read_to_string(&table).unwrap();
    assert_eq!(text.lines().count(), 7);
    assert!(text.starts_with("file,reason\n"), "{text}");
    assert!(text.contains("/cut, \"\"short\"\".png\",truncated PNG image\n"), "{text}");
    fs::remove_file(table).unwrap();

    let error = Folder::builder(root.path()).strict(true).open().unwrap_err().to_string();
    assert!(error.contains("a/empty.png: not an image") && error.contains("and 5 more"), "{error}");
    assert!(Folder::builder(root.path()).strict(true).open_set().is_err());
}

/// Holiday photos, some of them in a sub-folder: no image is skipped.
#[test]
fn images_next_to_sub_folders_are_looked_at_without_classes() {
    let root = temporary();
    put(root.path(), "raw/2.png", [1, 2, 3]);
    put(root.path(), "1.png", [1, 2, 3]);
    put(root.path(), "z.png", [1, 2, 3]);
    fs::write(root.path().join("notes.txt"), "x").unwrap();
    let opened = Folder::builder(root.path()).open_set().unwrap();
    let listed = Folder::builder(root.path()).list().unwrap();
    for (set, skipped) in [opened, listed] {
        assert_eq!(names(&set, root.path()), ["1.png", "raw/2.png", "z.png"]);
        assert!(!set.is_classified());
        assert_eq!(skipped.len(), 1, "{skipped:?}");
    }
}

#[test]
fn folders_that_cannot_be_used_say_why() {
    let message = |path: &Path| open(path).unwrap_err().to_string();
    let root = temporary();
    assert!(message(&root.path().join("none")).ends_with("none: no such folder"));
    assert!(message(root.path()).contains("has no sub-folders"), "{}", message(root.path()));
    let nothing = Folder::builder(root.path()).open_set().unwrap_err().to_string();
    assert!(nothing.ends_with(": contains no image"), "{nothing}");
    fs::create_dir(root.path().join("a")).unwrap();
    fs::create_dir(root.path().join("b")).unwrap();
    assert!(message(root.path()).ends_with(": contains no image"));
    fs::write(root.path().join("a/x.txt"), "x").unwrap();
    assert!(message(root.path()).contains("contains no image (1 file cannot be used, the first is "));
    put(root.path(), "a/1.png", [1, 2, 3]);
    assert!(message(root.path()).contains("images of one class only, \"a\""), "{}", message(root.path()));
    put(root.path(), "b/1.png", [4, 2, 3]);
    assert!(message(root.path()).contains("too few images (2)"), "{}", message(root.path()));
    assert!(message(&root.path().join("a/1.png")).contains("not a folder"));

    let root = temporary();
    put_classes(&root.path().join("train"), 2, 2);
    put(root.path(), "val/c/1.png", [9, 9, 9]);
    let unknown = message(root.path());
    assert!(unknown.contains("val/c: is not one of the 2 classes (a, b) of "), "{unknown}");
}

/// Common layouts, each with a hint.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of folders")]
fn layouts_of_other_programs_say_what_to_do() {
    let message = |path: &Path| open(path).unwrap_err().to_string();
    // The images of Kaggle's cats and dogs: flat parts `train` and `test`, which are not classes.
    let root = temporary();
    for index in 0..3 {
        put(root.path(), &format!("train/cat.{index}.png"), [index, 0, 0]);
        put(root.path(), &format!("train/dog.{index}.png"), [index, 9, 0]);
        put(root.path(), &format!("test/{index}.png"), [index, 9, 9]);
    }
    let text = message(root.path());
    assert!(text.contains("train: holds training images, but has no sub-folders"), "{text}");
    assert!(text.contains("for class in cat dog; do mkdir"), "{text}");
    fs::rename(root.path().join("test"), root.path().join("test1")).unwrap();
    assert!(message(root.path()).contains("for class in cat dog; do mkdir"));
    fs::rename(root.path().join("test1"), root.path().join("test")).unwrap();
    // A flat folder of such images, and one with a table.
    assert!(message(&root.path().join("train")).contains("for class in cat dog"));
    fs::write(root.path().join("test/labels.csv"), "id,label\n0,cat\n1,dog\n").unwrap();
    let text = message(&root.path().join("test"));
    assert!(text.contains("labels.csv may say which: lucida train --labels '"), "{text}");

    // ImageNet: sorted training images next to flat validation images, and a flat test part, which is not needed.
    let root = temporary();
    put_classes(&root.path().join("train"), 2, 4);
    put(root.path(), "test/1.png", [1, 2, 3]);
    let folder = open(root.path()).unwrap();
    assert!(folder.test.is_none() && folder.notes()[0].contains("test: its images are in no classes"));
    put(root.path(), "val/1.png", [3, 2, 1]);
    let text = message(root.path());
    assert!(text.contains("val: has no sub-folders with the classes of the training images"), "{text}");
    fs::remove_dir_all(root.path().join("val")).unwrap();
    put(root.path(), "val/images/1.png", [3, 2, 1]);
    let text = message(root.path());
    assert!(
        text.contains("val/images: is not one of the 2 classes (a, b) of ") && text.contains("name the folders"),
        "{text}"
    );

    // A folder around the folder, and nested classes.
    let root = temporary();
    put_classes(&root.path().join("photos/animals"), 2, 2);
    let text = message(&root.path().join("photos"));
    assert!(
        text.contains("sub-folders (a, b) are the classes, open ") && text.contains("photos/animals instead"),
        "{text}"
    );
    put_classes(&root.path().join("photos/plants"), 3, 2);
    let folder = Folder::builder(root.path().join("photos")).split(0.4, 1).open().unwrap();
    assert_eq!(folder.class_names(), ["animals", "plants"]);
    assert!(
        folder.notes().iter().any(|note| note.contains("as in animals/a, belong to that class")),
        "{:?}",
        folder.notes()
    );

    // Only copies of one image.
    let root = temporary();
    (0..6).for_each(|index| put(root.path(), &format!("{}/{index}.png", ["a", "b"][index % 2]), [1, 2, 3]));
    assert!(message(root.path()).contains("holds 6 copies of one image"), "{}", message(root.path()));
    (0..6)
        .for_each(|index| put(root.path(), &format!("{}/{index}.png", ["a", "b"][index % 2]), [index as u8 % 2, 2, 3]));
    assert!(
        message(root.path()).contains("has no validation image that is not an exact copy"),
        "{}",
        message(root.path())
    );
    (0..6).for_each(|index| put(root.path(), &format!("a/more{index}.png"), [index as u8, 2, 0]));
    let folder = open(root.path()).unwrap();
    assert!(
        folder.notes().iter().any(|note| note.contains("class \"b\" holds 3 copies of one image")),
        "{:?}",
        folder.notes()
    );
}

#[test]
fn photos_of_phones_are_named() {
    let root = temporary();
    put_classes(root.path(), 2, 4);
    fs::write(root.path().join("a/p.heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    fs::write(root.path().join("b/p.jpg"), b"\0\0\0\x18ftypavif\0\0\0\0mif1avif").unwrap();
    let folder = open(root.path()).unwrap();
    let reasons: Vec<&str> = folder.skipped().iter().map(|skipped| skipped.reason.as_str()).collect();
    assert!(reasons[0].starts_with("is a HEIC image, which is not supported: convert it"), "{reasons:?}");
    assert!(reasons[1].starts_with("is an AVIF image"), "{reasons:?}");
}

#[test]
fn small_and_empty_classes_are_noted() {
    let root = temporary();
    put_classes(root.path(), 2, 6);
    put(root.path(), "single/1.png", [100, 0, 0]);
    fs::create_dir(root.path().join("empty")).unwrap();
    for seed in 0..8 {
        let folder = Folder::builder(root.path()).split(0.45, seed).open().unwrap();
        assert_eq!(folder.class_names(), ["a", "b", "single"]);
        assert_eq!(folder.train.counts()[2], 1, "the only image trains");
        let notes = ["class \"empty\" has no image and is left out", "class \"single\" has a single image to train on"];
        assert_eq!(folder.notes(), notes);
    }
}

#[test]
fn copies_are_found() {
    let root = temporary();
    put_classes(&root.path().join("train"), 2, 3);
    put_classes(&root.path().join("test"), 2, 1);
    put(root.path(), "train/a/again.png", [0, 1, 7]);
    put(root.path(), "train/b/other.png", [0, 2, 7]);
    let folder = open(root.path()).unwrap();
    let found: Vec<_> = folder
        .duplicates()
        .iter()
        .map(|d| {
            let name = |path: &Path| path.strip_prefix(root.path()).unwrap().to_str().unwrap().to_owned();
            (name(&d.first), name(&d.second), d.across_parts, d.across_classes)
        })
        .collect();
    let expect = |a: &str, b: &str, parts, classes| (a.to_owned(), b.to_owned(), parts, classes);
    assert_eq!(
        found,
        [
            expect("train/a/1.png", "train/a/again.png", false, false),
            expect("train/a/2.png", "train/b/other.png", false, true),
            expect("train/a/0.png", "test/a/0.png", true, false),
            expect("train/b/0.png", "test/b/0.png", true, false),
        ]
    );
    let notes = folder.notes().join("\n");
    assert!(notes.contains("2 images that validate or test are exact copies of some in another part: "), "{notes}");
    assert!(notes.contains("1 image has an exact copy in another class: "), "{notes}");

    // A random split never separates copies.
    let root = temporary();
    put_classes(root.path(), 2, 10);
    (0..10).for_each(|index| put(root.path(), &format!("a/copy{index}.png"), [0, index, 7]));
    for seed in 0..5 {
        let folder = Folder::builder(root.path()).split(0.3, seed).open().unwrap();
        assert!(folder.duplicates().iter().all(|d| !d.across_parts));
        assert_eq!(folder.duplicates().len(), 10);
        assert!(folder.notes()[0].contains("exact copy on the training side"), "{:?}", folder.notes());
    }
}

#[test]
fn a_flat_folder_has_no_classes() {
    let root = temporary();
    for index in 0..3 {
        put(root.path(), &format!("{index}.png"), [index, 0, 0]);
    }
    let (set, _) = Folder::builder(root.path()).open_set().unwrap();
    assert!(!set.is_classified());
    assert_eq!((set.len(), set.labels(), set.class_names().len()), (3, vec![0; 3], 1));
    assert_eq!(set.summary(), "Found 3 images without classes.");
    assert!(open(root.path()).unwrap_err().to_string().contains("has no sub-folders"));
}

#[test]
fn kept_images_are_the_same_as_decoded_ones() {
    let root = temporary();
    for index in 0..6_u8 {
        let pixels = (0..20 * 30 * 3).map(|i| (i * (7 + usize::from(index)) % 256) as u8).collect();
        fs::create_dir_all(root.path().join("a")).unwrap();
        Image::new(20, 30, 3, pixels).unwrap().save_png(root.path().join(format!("a/{index}.png"))).unwrap();
    }
    for preprocessing in [Preprocessing::vgg().with_size(9, 12), Preprocessing::unit(9, 12, ColorMode::Grayscale)] {
        let len = preprocessing.output_shape().iter().product::<usize>();
        let set = |bytes| Folder::builder(root.path()).keep(&preprocessing, bytes).open_set().unwrap().0;
        let (none, some, all) = (set(0), set(2 * len as u64), set(1 << 20));
        assert_eq!([none.cached_images(), some.cached_images(), all.cached_images()], [0, 2, 6]);
        let batch = |set: &FolderSet, preprocessing: &Preprocessing| {
            let (mut images, mut labels) = (vec![0.0; 6 * len], vec![0; 6]);
            set.fill_batch(&[5, 0, 1, 2, 3, 4], preprocessing, &mut images, &mut labels).unwrap();
            images
        };
        let expected = batch(&none, &preprocessing);
        assert_eq!(batch(&some, &preprocessing), expected);
        assert_eq!(batch(&all, &preprocessing), expected);
        // Another scaling uses the same kept pixels; another resizing decodes again.
        let mirrored = preprocessing.clone().with_fit(crate::data::Fit::Crop, crate::data::Filter::Bilinear);
        assert_eq!(batch(&all, &mirrored), batch(&none, &mirrored));
        assert_ne!(batch(&all, &mirrored), expected);
    }
}

#[test]
fn reading_can_be_watched_and_stopped() {
    let root = temporary();
    put_classes(root.path(), 2, 8);
    let mut told = Vec::new();
    let mut tell = |step: &Step<'_>| {
        assert_eq!(step.total, Some(16));
        told.push(step.done);
        ControlFlow::Continue(())
    };
    Folder::builder(root.path()).progress(&mut tell).open().unwrap();
    assert_eq!(told, (1..=16).collect::<Vec<_>>());
    let mut stop = |step: &Step<'_>| if step.done < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    let stopped = Folder::builder(root.path()).progress(&mut stop).open();
    assert!(matches!(stopped, Err(Error::Interrupted)));
}

#[cfg(unix)]
#[test]
fn links_pipes_and_locked_folders() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let root = temporary();
    put_classes(root.path(), 2, 4);
    let at = |name: &str| root.path().join(name);
    symlink("0.png", at("a/link.png")).unwrap();
    symlink("nothing.png", at("a/broken.png")).unwrap();
    symlink("self", at("a/self")).unwrap();
    symlink("../../b", at("b/loop")).unwrap();
    symlink(root.path(), at("b/up")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(at("b/pipe.png")).status().unwrap();
    assert!(made.success());
    fs::write(at("b/locked.png"), "x").unwrap();
    fs::set_permissions(at("b/locked.png"), fs::Permissions::from_mode(0o000)).unwrap();

    let folder = open(root.path()).unwrap();
    let lines = skipped(&folder, root.path());
    let one = |name: &str| lines.iter().find(|line| line.starts_with(&format!("{name}: "))).unwrap().as_str();
    assert!(one("a/broken.png").ends_with("is a link to something that is not there"));
    assert!(one("a/self").contains("is a link that cannot be followed"), "{lines:?}");
    assert!(one("b/loop").contains("is a link") || one("b/loop").contains("loop"), "{lines:?}");
    assert!(one("b/pipe.png").ends_with("is a pipe, not a file"));
    // Root can read the file, and finds no image.
    assert!(one("b/locked.png").contains("cannot read") || one("b/locked.png").contains("not an image"));
    assert!(lines.iter().any(|line| line.contains("(a loop)")), "{lines:?}");
    assert!(folder.train.len() < 40, "the loop was followed");
}

/// A class name that is not Unicode cannot be stored in a model file.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_no_unicode() {
    use std::os::unix::ffi::OsStrExt;
    let root = temporary();
    put_classes(root.path(), 2, 4);
    let odd = std::ffi::OsStr::from_bytes(b"b/\xff.png");
    fs::copy(root.path().join("a/0.png"), root.path().join(odd)).unwrap();
    let (set, _) = Folder::builder(root.path()).open_set().unwrap();
    assert_eq!(set.counts(), [4, 5]);
    set.image(8).unwrap();
    fs::create_dir(root.path().join(std::ffi::OsStr::from_bytes(b"\xfe"))).unwrap();
    assert!(open(root.path()).unwrap_err().to_string().contains("not valid Unicode"));
}
