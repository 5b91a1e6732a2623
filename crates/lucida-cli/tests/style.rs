//! `lucida style` and `lucida style-frames`, on small images with the built-in network.

mod common;

use std::fs;
use std::path::Path;

use common::{fail, lucida, names, run, stderr, stdout, text};
use lucida::data::Image;
use lucida::style::ContentFile;
use tempfile::TempDir;

/// An image with a color wave pattern.
fn image(width: usize, height: usize, seed: f32) -> Image {
    let value = |i: usize| (128.0 + 100.0 * (i as f32 * 0.037 * seed + (i / (3 * width)) as f32 * 0.2).sin()) as u8;
    Image::new(width, height, 3, (0..3 * width * height).map(value).collect()).unwrap()
}

/// A folder with a content image, two style images and masks.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let save = |name: &str, image: &Image| image.save_png(folder.path().join(name)).unwrap();
    save("content.png", &image(80, 60, 1.0));
    save("style.png", &image(64, 64, 3.1));
    save("other.png", &image(70, 50, 0.4));
    let half = (0..80 * 60).map(|i| if i % 80 < 40 { 0 } else { 255 }).collect();
    save("mask.png", &Image::new(80, 60, 1, half).unwrap());
    save("small-mask.png", &Image::filled(40, 30, &[255]));
    save("tiny.png", &Image::filled(1, 1, &[9, 9, 9]));
    save("thin.png", &Image::filled(10, 4000, &[9, 9, 9]));
    fs::write(folder.path().join("corrupt.png"), b"\x89PNG\r\n\x1a\nrubbish").unwrap();
    folder
}

/// The command line of a short style transfer with files of the folder; further options may follow.
fn short(folder: &Path, words: &str) -> Vec<String> {
    let resolve = |word: &str| match [".png", ".gif", ".tif", "steps/"].iter().any(|end| word.ends_with(end)) {
        true => text(&folder.join(word)).to_owned(),
        false => word.to_owned(),
    };
    let mut all: Vec<String> = words.split_whitespace().map(resolve).collect();
    all.insert(0, "style".to_owned());
    if !all.iter().any(|word| word == "--size") {
        all.extend(["--size", "64"].map(str::to_owned));
    }
    all.extend(["--steps", "2", "--coarsest", "0"].map(str::to_owned));
    all
}

fn stylize(folder: &Path, words: &str) -> String {
    run(short(folder, words).iter().map(String::as_str))
}

fn refused(folder: &Path, words: &str) -> String {
    let message = fail(1, short(folder, words).iter().map(String::as_str).chain(["--quiet"]));
    let left = names(folder).into_iter().filter(|name| name.starts_with("out")).count();
    assert_eq!(left, 0, "{words}");
    message
}

#[test]
fn a_result_says_how_it_was_made_and_repeats_itself() {
    let folder = folder();
    let folder = folder.path();
    let output =
        lucida(short(folder, "content.png style.png -o out.png --seed 7").iter().map(String::as_str)).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("the built-in blocks 1 to 3 of VGG16") && stderr(&output).lines().count() == 1);
    let printed = stdout(&output);
    assert!(
        printed.contains("64x48: 2 steps - loss ") && printed.contains("out.png: 64x48 pixels, 2 steps in"),
        "{printed}"
    );
    let bytes = fs::read(folder.join("out.png")).unwrap();
    let found = |words: &str| bytes.windows(words.len()).any(|window| window == words.as_bytes());
    assert!(found("neural style transfer: content.png in the style of style.png") && found("seed 7"));
    stylize(folder, "content.png style.png -o again.png --seed 7");
    assert_eq!(Image::open(folder.join("again.png")).unwrap(), Image::open(folder.join("out.png")).unwrap());
    let message = fail(1, short(folder, "content.png style.png -o out.png").iter().map(String::as_str));
    assert!(message.contains("out.png already exists; use --force"), "{message}");
}

#[test]
fn styles_masks_colors_sizes_and_the_way_there() {
    let folder = folder();
    let folder = folder.path();
    stylize(
        folder,
        "content.png style.png other.png -o blend.png --blend 3,1 --every 1 --gif way.gif --preview steps/",
    );
    assert_eq!(names(&folder.join("steps")), ["00001.png", "00002.png"]);
    assert!(fs::read(folder.join("way.gif")).unwrap().starts_with(b"GIF89a"));
    stylize(
        folder,
        "content.png style.png other.png -o mask.out.png --mask mask.png --optimizer lbfgs --pooling average",
    );
    stylize(folder, "content.png brushwork -o left.png --mask mask.png --keep-colors luminance --keep-size");
    assert_eq!(Image::open(folder.join("left.png")).unwrap().width(), 80);
    stylize(
        folder,
        "content.png style.png -o kept.png --preserve mask.png --init noise --size 80 --keep-colors histogram",
    );
    let [kept, content] = ["kept.png", "content.png"].map(|name| Image::open(folder.join(name)).unwrap());
    let kept = kept.resize(80, 60, lucida::data::Filter::Bilinear).unwrap();
    let apart =
        |x: usize| (0..60).map(|y| u32::from(kept.pixel(x, y)[0].abs_diff(content.pixel(x, y)[0]))).sum::<u32>();
    assert!(apart(70) < 60 * 12 && apart(10) > 60 * 12, "{} {}", apart(70), apart(10));
    stylize(folder, "content.png style.png -o deep.tif --bits 16 --init other.png --style-loss wasserstein");
    assert_eq!(ContentFile::open(folder.join("deep.tif")).unwrap().image.width(), 64);
    // An image with a transparent left half keeps its alpha channel.
    let mut bytes = Vec::new();
    for y in 0..60_u8 {
        (0..80_u8).for_each(|x| bytes.extend([x, y, 9, if x < 40 { 0 } else { 255 }]));
    }
    image::save_buffer(folder.join("clear.png"), &bytes, 80, 60, image::ExtendedColorType::Rgba8).unwrap();
    stylize(folder, "clear.png style.png -o clear.out.png");
    let alpha = ContentFile::open(folder.join("clear.out.png")).unwrap().alpha.unwrap();
    assert_eq!((alpha.pixel(2, 20), alpha.pixel(60, 20)), (&[0][..], &[255][..]));
}

#[test]
fn what_cannot_be_used_is_named_before_any_work() {
    let folder = folder();
    let folder = folder.path();
    for (words, expected) in [
        ("tiny.png style.png -o out.png", "tiny.png has 1x1 pixels; at least 32x32 are needed"),
        ("content.png tiny.png -o out.png", "tiny.png has 1x1 pixels"),
        ("thin.png style.png -o out.png", "thin.png has 10x4000 pixels"),
        ("content.png thin.png -o out.png", "thin.png has 10x4000 pixels"),
        ("corrupt.png style.png -o out.png", "corrupt.png: truncated PNG image"),
        ("content.png corrupt.png -o out.png", "corrupt.png: truncated PNG image"),
        ("none.png style.png -o out.png", "none.png: cannot read"),
        ("content.png brushwrk -o out.png", "brushwrk: no such file; did you mean brushwork?"),
        (
            "content.png style.png -o out.png --mask small-mask.png",
            "small-mask.png has 40x30 pixels, but the content 80x60",
        ),
        ("content.png style.png -o out.png --preserve small-mask.png", "small-mask.png has 40x30 pixels"),
        ("content.png style.png other.png -o out.png --blend 1", "--blend: 1 weight for 2 styles"),
        ("content.png style.png -o no-such-folder/out.png", "no-such-folder"),
        ("content.png style.png -o out.gif", "must end in .png, .tif or .jpg"),
        ("content.png style.png -o out.png --gif out.png", "out.png: the name must end in .gif"),
        ("content.png style.png -o out.jpg --bits 16", "16 bits go with .png and .tif only"),
        ("content.png style.png -o out.png --weights content.png", "content.png"),
        ("content.png style.png -o out.png --network vgg19", "weights fetch vgg19"),
        ("content.png style.png -o out.png --memory 1M", "MiB of memory, but the limit is 1 MiB; use --memory "),
    ] {
        let message = refused(folder, words);
        assert!(message.contains(expected), "{words}: {message}");
    }
}

#[test]
fn results_of_a_folder_are_not_among_its_images() {
    let folder = folder();
    let (empty, out) = (folder.path().join("empty"), folder.path().join("nothing"));
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("notes.txt"), "no image").unwrap();
    assert!(fail(1, ["style", text(&empty), "brushwork", "-o", text(&out)]).contains("empty: contains no image"));
    assert!(!out.exists());
    let photos = folder.path().join("photos");
    fs::create_dir_all(photos.join("sub")).unwrap();
    for name in ["a.png", "sub/b.png"] {
        fs::copy(folder.path().join("content.png"), photos.join(name)).unwrap();
    }
    let words = |out: &Path| {
        let words = ["style", text(&photos), "brushwork", "--size", "64", "--steps", "1", "--coarsest", "0", "-o"];
        words.into_iter().chain([text(out)]).map(str::to_owned).collect::<Vec<_>>()
    };
    for out in [photos.clone(), photos.join("styled"), photos.join("sub/../new")] {
        let message = fail(1, words(&out).iter().map(String::as_str));
        assert!(message.contains("results would become images"), "{message}");
    }
    assert_eq!(names(&photos), ["a.png", "sub"]);
    // Images in sub-folders are replaced, too.
    let out = folder.path().join("out");
    let printed = run(words(&out).iter().map(String::as_str));
    assert!(printed.contains("64x48: 1 step - loss ") && printed.contains("64x48 pixels, 1 step in"), "{printed}");
    fs::write(out.join("sub/mine.txt"), "mine").unwrap();
    run(words(&out).iter().map(String::as_str).chain(["--force"]));
    assert_eq!(
        (names(&out), names(&out.join("sub"))),
        (vec!["a.png".into(), "sub".into()], vec!["b.png".into(), "mine.txt".into()])
    );
}

#[test]
fn weights_of_another_network_are_refused() {
    let folder = folder();
    let path = folder.path().join("lenet.safetensors");
    let network =
        lucida::nn::applications::find("lenet5").unwrap().build(&lucida::nn::applications::Options::default()).unwrap();
    lucida::weights::safetensors::save_model(&lucida::weights::Model::new(network), &path).unwrap();
    let words = format!("content.png style.png -o out.png --weights {}", path.display());
    let message = refused(folder.path(), &words);
    assert!(message.contains("lenet.safetensors") && message.contains("vgg16"), "{message}");
}

/// The suggested memory limit is the smallest that works, in the units of the option.
#[test]
fn the_memory_that_is_suggested_is_enough() {
    let folder = folder();
    let folder = folder.path();
    let message = refused(folder, "content.png style.png -o out.png --memory 1K");
    assert!(message.contains("but the limit is 1 KiB; use --memory "), "{message}");
    let least = message.split("--memory ").nth(1).and_then(|rest| rest.split('M').next()).unwrap();
    let least: u32 = least.parse().unwrap();
    let less = refused(folder, &format!("content.png style.png -o out.png --memory {}M", least - 1));
    assert!(less.contains(&format!("use --memory {least}M or more")), "{less}");
    stylize(folder, &format!("content.png style.png -o out.png --memory {least}M"));
}

/// Ctrl-C in a coarse stage: the result is enlarged to its final size, and said to be coarse.
#[cfg(unix)]
#[test]
fn an_enlarged_coarse_stage_is_said_to_be_one() {
    use std::process::{Command, Stdio};

    let folder = folder();
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    let words = ["style", &at("content.png"), &at("style.png"), "-o", &at("out.png"), "--preview", &at("steps")];
    let child = Command::new(assert_cmd::cargo::cargo_bin("lucida"))
        .args(words)
        .args(["--size", "256", "--coarsest", "64", "--steps", "100000", "--every", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !folder.path().join("steps/00001.png").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let expected = "out.png: 256x192 pixels (the coarse stage of 64x48, enlarged), ";
    assert!(stdout(&output).contains(expected), "{}", stdout(&output));
}

#[test]
fn frames_hold_together() {
    let folder = folder();
    let frames = folder.path().join("frames");
    fs::create_dir(&frames).unwrap();
    let wide = image(90, 60, 1.0);
    for number in 0..3 {
        wide.crop(number * 3, 0, 80, 60).unwrap().save_png(frames.join(format!("frame{}.png", 8 + number))).unwrap();
    }
    let out = folder.path().join("stylized");
    let [frames, out, style] = [frames.clone(), out, folder.path().join("style.png")];
    let all = ["style-frames", text(&frames), text(&style), "-o", text(&out), "--size", "64", "--steps", "3"];
    let more = ["--frame-steps", "2", "--coarsest", "0"];
    let printed = run(all.iter().copied().chain(more));
    assert!(printed.contains("frame8.png (1/3)") && printed.contains("3 frames in"), "{printed}");
    assert_eq!(names(&out), ["frame10.png", "frame8.png", "frame9.png"]);
    let message = fail(1, all.iter().copied().chain(more));
    assert!(message.contains("already exists"), "{message}");
    // Without --size, frames keep their size.
    let same = folder.path().join("same");
    run(["style-frames", text(&frames), text(&style), "-o", text(&same), "--steps", "1"].into_iter().chain(more));
    let first = Image::open(same.join("frame8.png")).unwrap();
    assert_eq!([first.width(), first.height()], [80, 60]);
    fs::write(frames.join("title.png"), "").unwrap();
    let message = fail(1, all.iter().copied().chain(more));
    assert!(message.contains("title.png: has no number in its name"), "{message}");
}
