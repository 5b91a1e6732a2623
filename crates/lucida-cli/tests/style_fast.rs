//! `lucida style --fast` and `lucida style-video`, with a small network with random weights.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{lucida, names, run, stderr, stdout, text};
use lucida::data::Image;
use lucida::style::{
    Animation, AnimationKind, FeedForwardSize, FeedForwardStyle, FrameTiming, VideoFrame, transformation_network,
    write_animation,
};
use tempfile::TempDir;

/// An image with a color wave pattern.
fn image(width: usize, height: usize, seed: f32) -> Image {
    let value = |i: usize| (128.0 + 100.0 * (i as f32 * 0.037 * seed + (i / (3 * width)) as f32 * 0.2).sin()) as u8;
    Image::new(width, height, 3, (0..3 * width * height).map(value).collect()).unwrap()
}

/// A folder with photos, masks, a network with two styles, and an animation.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("photos")).unwrap();
    image(45, 38, 1.0).save_png(at("a.png")).unwrap();
    image(60, 33, 2.3).save_png(at("b.png")).unwrap();
    image(45, 38, 1.0).save_png(at("photos/c.png")).unwrap();
    fs::write(at("photos/d.png"), b"\x89PNG\r\n\x1a\nrubbish").unwrap();
    let half = (0..45 * 38).map(|i| if i % 45 < 20 { 0 } else { 255 }).collect();
    Image::new(45, 38, 1, half).unwrap().save_png(at("mask.png")).unwrap();
    let network = transformation_network(FeedForwardSize::Small, [64, 64], 42).unwrap();
    FeedForwardStyle::new(network, ["waves", "night"]).unwrap().save(at("two.lucida")).unwrap();
    let timing = FrameTiming { delays: vec![50.0, 120.0, 80.0, 200.0], plays: 3 };
    let frame = |index: usize| {
        let alpha = Image::new(40, 32, 1, (0..40 * 32).map(|i| if i % 40 < 5 { 0 } else { 255 }).collect())?;
        Ok(VideoFrame { image: image(40, 32, 1.0 + 0.01 * index as f32), alpha: Some(alpha) })
    };
    write_animation(at("loop.gif"), AnimationKind::Gif, &timing, frame).unwrap();
    folder
}

/// Splits a command line, and resolves its file names in the folder.
fn words(folder: &Path, words: &str) -> Vec<String> {
    let is_file = |word: &str| {
        [".png", ".gif", ".webp", ".mp4", ".jpg", ".xyz", ".lucida", ".txt", "photos", "styled", "again"]
            .iter()
            .any(|end| word.ends_with(end))
    };
    words
        .split(' ')
        .map(|word| if is_file(word) { text(&folder.join(word)).to_owned() } else { word.to_owned() })
        .collect()
}

fn good(folder: &Path, command: &str) -> String {
    run(words(folder, command).iter().map(String::as_str))
}

fn bad(folder: &Path, code: i32, command: &str) -> String {
    let output = lucida(words(folder, command).iter().map(String::as_str).chain(["--quiet"])).output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(message.starts_with("error: "), "{message}");
    message
}

fn open(folder: &Path, name: &str) -> Image {
    Image::open(folder.join(name)).unwrap()
}

#[test]
fn photos_of_any_size_in_one_pass() {
    let folder = folder();
    let folder = folder.path();
    let printed = good(folder, "style a.png --fast two.lucida -o out.png");
    assert!(printed.contains("45x38 pixels in"), "{printed}");
    let (photo, whole) = (open(folder, "a.png"), open(folder, "out.png"));
    assert_ne!(photo, whole);
    good(folder, "style a.png --fast two.lucida -o none.png --strength 0");
    assert_eq!(open(folder, "none.png"), photo);
    good(folder, "style a.png --fast two.lucida -o mixed.png --mix waves=0.5,night=0.5");
    assert_eq!(open(folder, "mixed.png"), whole, "both styles are the same here");
    // With a mask of the preserved area, the right part is the photo.
    good(folder, "style a.png --fast two.lucida -o kept.png --preserve mask.png");
    let kept = open(folder, "kept.png");
    assert_eq!((kept.pixel(40, 9), kept.pixel(3, 9)), (photo.pixel(40, 9), whole.pixel(3, 9)));
    good(folder, "style a.png --fast two.lucida -o regions.png --mask mask.png");
    assert_eq!(open(folder, "regions.png"), whole);
    // A mask's regions have the styles that are named, in this order; one style alone goes where the mask is white.
    good(folder, "style a.png --fast two.lucida -o night.png --mask mask.png --mix night");
    let night = open(folder, "night.png");
    assert_eq!((night.pixel(3, 9), night.pixel(40, 9)), (photo.pixel(3, 9), whole.pixel(40, 9)));
    good(folder, "style a.png --fast two.lucida -o swapped.png --mask mask.png --mix night,waves");
    assert_eq!(open(folder, "swapped.png"), whole);
    good(folder, "style a.png --fast two.lucida -o small.png --size 32 --keep-colors luminance");
    assert_eq!((open(folder, "small.png").width(), open(folder, "small.png").height()), (32, 27));
    let printed = good(folder, "style a.png --fast two.lucida -o fine.png --refine 2 --refine-style brushwork");
    assert!(printed.contains("2 steps of refinement, loss"), "{printed}");
}

#[test]
fn many_photos_and_folders() {
    let folder = folder();
    let folder = folder.path();
    good(folder, "style a.png b.png --fast two.lucida -o styled");
    assert_eq!(names(&folder.join("styled")), ["a.png", "b.png"]);
    assert_eq!(open(folder, "styled/b.png").width(), 60);
    // An unreadable image does not stop the others.
    let output = lucida(words(folder, "style photos --fast two.lucida -o again").iter().map(String::as_str));
    let output = { output }.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("d.png"), "{}", stderr(&output));
    assert_eq!(names(&folder.join("again")), ["c.png"]);
}

#[test]
fn what_cannot_be_is_said() {
    let folder = folder();
    let folder = folder.path();
    for (command, code, expected) in [
        ("style a.png --fast b.png", 2, "put --fast after the photos"),
        ("style --fast a.png", 2, "--fast took"),
        ("style --fast two.lucida a.png -o out.png --style-weight 3", 2, "require --refine"),
        ("style a.png --fast nothing.lucida -o out.png", 1, "nothing.lucida"),
        ("style a.png --fast two.lucida -o out.png --mix wave=1", 1, "did you mean waves?"),
        ("style a.png --fast two.lucida -o out.png --mix waves=x", 2, "not negative"),
        ("style a.png --fast two.lucida -o out.png --strength 2", 2, "from 0 to 1"),
        ("style a.png --fast two.lucida -o out.png --style-weight 3", 2, "--refine"),
        ("style a.png --fast two.lucida -o out.png --steps 3", 2, "one pass"),
        ("style a.png --fast two.lucida -o out.png --memory 1M", 1, "needs at least"),
        ("style a.png b.png --fast two.lucida -o styled --mask mask.png", 2, "for one image"),
        ("style b.png --fast two.lucida -o out.png --mask mask.png", 1, "must be of one size"),
        ("style a.png --fast two.lucida -o out.png --mask mask.png --mix night=1,waves", 1, "without weights"),
        ("style a.png --fast two.lucida -o out.png --mask mask.png --mix night,day", 1, "no style \"day\""),
        ("style a.png photos/../a.png --fast two.lucida -o styled", 1, "would both be written to"),
        ("style-video loop.gif --fast two.lucida -o out.jpg", 1, "a .jpg file has one image"),
        ("style-video loop.gif --fast two.lucida -o out.gif --steps 3", 2, "no options of the optimization"),
        ("style-video a.png --fast two.lucida -o out.gif", 1, "still PNG image"),
        ("style-video loop.gif --fast two.lucida -o loop.gif --force", 1, "a name of its own"),
        ("style-video loop.gif --fast two.lucida -o out.gif --keep-colors histogram", 1, "flicker"),
        ("style-video loop.gif", 2, "<STYLES>"),
    ] {
        let message = bad(folder, code, command);
        assert!(message.contains(expected), "{command}: {message}");
        assert!(!folder.join("out.png").exists() && !folder.join("out.gif").exists(), "{command}");
    }
}

#[test]
fn animations_keep_delays_repetitions_and_holes() {
    let folder = folder();
    let folder = folder.path();
    for name in ["out.gif", "out.png", "out.webp"] {
        let printed = good(folder, &format!("style-video loop.gif --fast two.lucida -o {name}"));
        assert!(printed.contains("4 frames of 40x32 pixels"), "{printed}");
        let [made, given] = [name, "loop.gif"].map(|name| Animation::open(folder.join(name)).unwrap().unwrap());
        assert_eq!(made.timing(), given.timing(), "{name}");
        for (made, given) in made.frames().unwrap().zip(given.frames().unwrap()) {
            let (made, given) = (made.unwrap(), given.unwrap());
            assert_eq!(made.alpha, given.alpha, "{name}");
            assert_ne!(made.image, given.image);
        }
        assert!(!folder.join(format!("{name}.frames")).exists(), "{name}");
    }
    // By optimization.
    let slow = "style-video loop.gif brushwork -o slow.gif --size 40 --steps 1 --frame-steps 1 --coarsest 0 --quiet";
    good(folder, slow);
    assert_eq!(Animation::open(folder.join("slow.gif")).unwrap().unwrap().frames().unwrap().count(), 4);
}

#[test]
fn a_stopped_conversion_is_resumed_with_the_same_result() {
    let folder = folder();
    let folder = folder.path();
    good(folder, "style-video loop.gif --fast two.lucida -o whole.png --keep-frames");
    let command = "style-video loop.gif --fast two.lucida -o again.png --keep-frames";
    good(folder, command);
    // As if it had been stopped after two frames.
    let frames = folder.join("again.png.frames");
    for gone in ["000003.png", "000004.png"] {
        fs::remove_file(frames.join(gone)).unwrap();
    }
    fs::remove_file(folder.join("again.png")).unwrap();
    let output = lucida(words(folder, command).iter().map(String::as_str)).output().unwrap();
    let said = stdout(&output) + &stderr(&output);
    assert!(said.contains("resuming after 2 frames"), "{said}");
    let bytes = |name: &str| fs::read(folder.join(name)).unwrap();
    assert_eq!(bytes("again.png"), bytes("whole.png"));
    // Frames made with other options are not reused.
    fs::remove_file(folder.join("again.png")).unwrap();
    let message = bad(folder, 1, "style-video loop.gif --fast two.lucida -o again.png --strength 0.5");
    assert!(message.contains("another conversion") && message.contains("--force"), "{message}");
    good(folder, "style-video loop.gif --fast two.lucida -o again.png --strength 0.5 --force");
    assert!(!frames.exists());
}

#[test]
fn without_ffmpeg_a_video_says_what_to_install() {
    let folder = folder();
    let folder = folder.path();
    let command = words(folder, "style-video loop.gif --fast two.lucida -o out.mp4 --quiet");
    let output = lucida(command.iter().map(String::as_str)).env("PATH", "").output().unwrap();
    let message = stderr(&output);
    assert!(message.contains("out.mp4") && message.contains("apt install ffmpeg"), "{message}");
    fs::write(folder.join("clip.mp4"), b"\0\0\0\x20ftypisom and nothing more").unwrap();
    let command = words(folder, "style-video clip.mp4 --fast two.lucida -o out.gif --quiet");
    let output = lucida(command.iter().map(String::as_str)).env("PATH", "").output().unwrap();
    assert!(stderr(&output).contains("ffprobe"), "{}", stderr(&output));
}

#[test]
fn videos_keep_their_sound() {
    let folder = folder();
    let folder = folder.path();
    let clip = folder.join("clip.mp4");
    let source = "-v error -f lavfi -i testsrc=size=64x48:rate=10:duration=0.6 -f lavfi -i sine=440:duration=0.6 -y";
    let made = Command::new("ffmpeg").args(source.split(' ')).arg(&clip).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: ffmpeg is not installed, which video files need");
        return;
    }
    let printed = good(folder, "style-video clip.mp4 --fast two.lucida -o out.mp4");
    assert!(printed.contains("6 frames of 64x48 pixels"), "{printed}");
    let entries = ["-v", "error", "-show_entries", "stream=codec_type,nb_frames", "-of", "csv=p=0"];
    let probe = Command::new("ffprobe").args(entries).arg(folder.join("out.mp4")).output().unwrap();
    let streams = String::from_utf8(probe.stdout).unwrap();
    assert!(streams.contains("video,6") && streams.contains("audio"), "{streams}");
    good(folder, "style-video clip.mp4 --fast two.lucida -o out.gif");
    let timing = Animation::open(folder.join("out.gif")).unwrap().unwrap().timing().clone();
    assert_eq!(timing.delays, [100.0; 6]);
    good(folder, "style-video loop.gif --fast two.lucida -o loop.mp4");
    fs::write(folder.join("bad.mp4"), b"\0\0\0\x20ftypisom and nothing more").unwrap();
    let message = bad(folder, 1, "style-video bad.mp4 --fast two.lucida -o bad.gif");
    assert!(message.contains("bad.mp4") && message.contains("ffprobe cannot read it"), "{message}");
    fs::write(folder.join("list.txt"), "not a video\n".repeat(40)).unwrap();
    let message = bad(folder, 1, "style-video list.txt --fast two.lucida -o bad.gif");
    assert!(message.contains("is a text file, not a video"), "{message}");
    assert!(!folder.join("bad.gif.frames").exists());
    let message = bad(folder, 1, "style-video loop.gif --fast two.lucida -o zz.xyz");
    assert!(message.contains("ffmpeg has no video format .xyz"), "{message}");
    assert!(!folder.join("zz.xyz.frames").exists());
    // The sides of a video file are even.
    let printed = good(folder, "style-video clip.mp4 --fast two.lucida -o odd.mp4 --size 51");
    assert!(printed.contains("6 frames of 50x38 pixels"), "{printed}");
}

/// Ctrl-C finishes the photo that is being stylized, and leaves the others out.
#[cfg(unix)]
#[test]
fn photos_stop_at_ctrl_c() {
    let folder = folder();
    let folder = folder.path();
    let many = folder.join("many-photos");
    fs::create_dir(&many).unwrap();
    let bytes = fs::read(folder.join("a.png")).unwrap();
    (0..300).for_each(|number| fs::write(many.join(format!("{number:03}.png")), &bytes).unwrap());
    let mut running = Command::new(assert_cmd::cargo::cargo_bin("lucida"))
        .args(words(folder, "style many-photos --fast two.lucida -o styled"))
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let results = || folder.join("styled").read_dir().map_or(0, Iterator::count);
    while results() < 2 {
        assert!(running.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let sent = Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let made = results();
    assert!(made < 300, "all are done");
    // Each result is whole.
    names(&folder.join("styled")).iter().for_each(|name| drop(open(&folder.join("styled"), name)));
}
