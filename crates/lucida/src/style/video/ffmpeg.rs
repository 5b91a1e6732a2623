//! Video files, decoded and encoded by ffmpeg: frames are piped, without intermediate files.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;

use super::frame::VideoFrame;
use crate::data::{Image, Limits};
use crate::{Error, Result};

/// Quality (CRF) of x264, x265 and VP9: slightly better than their defaults, because brush strokes are fine detail.
const QUALITY: &str = "18";
/// Usual extensions of videos.
const ENDINGS: &str = ".gif, .png, .webp, .mp4, .mkv, or .webm";
/// ffmpeg's name of the format of text files.
const TEXT: &str = "tty";
/// Seconds that are encoded to see whether it works.
const MOMENT: &str = "0.1";
/// Extensions of files with a single image, which ffmpeg would accept as a video of one frame.
const STILLS: [&str; 7] = ["jpg", "jpeg", "bmp", "tif", "tiff", "ppm", "avif"];
/// Maximum length of the programs' error messages, in bytes.
const MAX_MESSAGE: u64 = 64 << 10;

/// A video file that ffmpeg can read.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoFile {
    path: PathBuf,
    rate: [u32; 2],
    frames: Option<usize>,
    has_sound: bool,
    /// Time of the first frame, in seconds.
    start: f64,
}

/// Output of ffprobe.
#[derive(Deserialize)]
struct Probe {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Stream {
    codec_type: String,
    avg_frame_rate: String,
    r_frame_rate: String,
    duration: String,
    start_time: String,
    disposition: Disposition,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Disposition {
    attached_pic: u8,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Format {
    format_name: String,
    duration: String,
    start_time: String,
}

impl VideoFile {
    /// Inspects a video file with ffprobe.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when ffprobe is not installed, [`Error::File`] when it finds no video in the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let entries = "stream=codec_type,avg_frame_rate,r_frame_rate,duration,start_time:stream_disposition=attached_pic\
                       :format=duration,start_time,format_name";
        let mut command = Command::new("ffprobe");
        command.args(["-v", "error", "-print_format", "json", "-show_entries", entries]).arg(plain(path));
        let output = command.output().map_err(|problem| missing(path, "ffprobe", &problem))?;
        if !output.status.success() {
            let said = last_line(&String::from_utf8_lossy(&output.stderr), path);
            return Err(Error::file(path, format!("ffprobe cannot read it: {said}")));
        }
        let probe: Probe = serde_json::from_slice(&output.stdout)
            .map_err(|problem| Error::file(path, format!("ffprobe says nothing usable about it: {problem}")))?;
        // ffmpeg draws text files as on a terminal.
        if probe.format.format_name == TEXT {
            return Err(Error::file(path, "is a text file, not a video"));
        }
        let is_video = |stream: &&Stream| stream.codec_type == "video" && stream.disposition.attached_pic == 0;
        let video = probe.streams.iter().find(is_video);
        let video = video.ok_or_else(|| Error::file(path, "has no video stream"))?;
        let rate = [&video.avg_frame_rate, &video.r_frame_rate].into_iter().find_map(|rate| fraction(rate));
        let rate = rate.ok_or_else(|| Error::file(path, "has a video stream without a frame rate"))?;
        let seconds = |text: &str| text.parse::<f64>().ok().filter(|seconds| seconds.is_finite());
        let duration = seconds(&video.duration).or_else(|| seconds(&probe.format.duration));
        let start = seconds(&video.start_time).unwrap_or(0.0) - seconds(&probe.format.start_time).unwrap_or(0.0);
        Ok(Self {
            path: path.to_owned(),
            rate,
            frames: duration.map(|s| (s * f64::from(rate[0]) / f64::from(rate[1])).round() as usize),
            has_sound: probe.streams.iter().any(|stream| stream.codec_type == "audio"),
            start: start.max(0.0),
        })
    }

    /// Frames per second, as a fraction.
    pub fn rate(&self) -> [u32; 2] {
        self.rate
    }

    /// Approximate number of frames, if the file states it.
    pub fn frames_estimate(&self) -> Option<usize> {
        self.frames
    }

    /// Whether it has an audio track.
    pub fn has_sound(&self) -> bool {
        self.has_sound
    }

    /// Starts decoding. Frames come at the constant [`rate`](Self::rate), rotated upright.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when ffmpeg is not installed.
    pub fn frames(&self) -> Result<VideoReader> {
        let [numerator, denominator] = self.rate;
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-i"]).arg(plain(&self.path));
        command.args(["-map", "0:V:0", "-vf", &format!("fps={numerator}/{denominator}")]);
        command.args(["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "pipe:1"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut program = Program::start(command, &self.path)?;
        let output = program.child.stdout.take().ok_or_else(|| Error::Bug("no pipe from ffmpeg".into()))?;
        Ok(VideoReader { program, output: BufReader::new(output), decoded: 0 })
    }
}

/// The frames of a video file, as decoded by ffmpeg.
#[derive(Debug)]
pub struct VideoReader {
    program: Program,
    output: BufReader<ChildStdout>,
    decoded: usize,
}

impl Iterator for VideoReader {
    type Item = Result<VideoFrame>;

    fn next(&mut self) -> Option<Self::Item> {
        match read_ppm(&mut self.output, &Limits::default()) {
            Ok(Some(image)) => {
                self.decoded += 1;
                Some(Ok(VideoFrame { image, alpha: None }))
            }
            Ok(None) => match self.program.finish("decode") {
                Ok(()) if self.decoded > 0 => None,
                Err(problem) if self.decoded > 0 => Some(Err(problem)),
                // Of a file that is not a video, ffmpeg says nothing that helps.
                _ => Some(Err(Error::file(&self.program.path, "not a video that ffmpeg can decode"))),
            },
            // ffmpeg's error message explains why a frame is missing.
            Err(problem) => Some(Err(match self.program.finish("decode") {
                Err(said) => said,
                Ok(()) => Error::file(&self.program.path, format!("ffmpeg sends no usable frame: {problem}")),
            })),
        }
    }
}

/// Reads the next 8-bit PPM image, if there is one.
fn read_ppm(input: &mut impl Read, limits: &Limits) -> std::io::Result<Option<Image>> {
    let invalid = |problem: &str| std::io::Error::new(ErrorKind::InvalidData, problem.to_owned());
    let mut magic = [0; 2];
    match input.read(&mut magic[..1])? {
        0 => return Ok(None),
        _ => input.read_exact(&mut magic[1..])?,
    }
    if &magic != b"P6" {
        return Err(invalid("not PPM"));
    }
    let mut numbers = [0_u64; 3];
    // White space precedes each number, and follows the last.
    let mut byte = [0; 1];
    input.read_exact(&mut byte)?;
    for number in &mut numbers {
        loop {
            input.read_exact(&mut byte)?;
            match byte[0] {
                digit @ b'0'..=b'9' => *number = (*number * 10 + u64::from(digit - b'0')).min(u64::from(u32::MAX)),
                space if space.is_ascii_whitespace() => break,
                _ => return Err(invalid("no number in the header")),
            }
        }
    }
    let [width, height, most] = numbers;
    if width * height == 0 || width * height > limits.pixels || most != 255 {
        return Err(invalid(&format!("a frame of {width}x{height} pixels")));
    }
    let mut pixels = vec![0; 3 * (width * height) as usize];
    input.read_exact(&mut pixels)?;
    Image::new(width as usize, height as usize, 3, pixels).map(Some).map_err(|problem| invalid(&problem.to_string()))
}

/// Parameters of a video encoding.
#[derive(Debug, Clone, Copy)]
pub struct VideoEncoding<'a> {
    /// Height and width of all frames, in pixels.
    pub size: [usize; 2],
    /// Frames per second, as a fraction.
    pub rate: [u32; 2],
    /// The video whose audio is copied.
    pub sound: Option<&'a VideoFile>,
}

impl VideoEncoding<'_> {
    /// Height and width of the video: 4:2:0 chroma, which all players support, requires even sides.
    pub fn written_size(&self) -> [usize; 2] {
        self.size.map(|side| side / 2 * 2)
    }
}

/// Checks that ffmpeg can encode a video of the file name's extension, with the sound of another.
///
/// # Errors
/// As [`VideoSource::check_output`](super::source::VideoSource::check_output).
pub(super) fn check_video(path: &Path, sound: Option<&VideoFile>) -> Result<()> {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if STILLS.contains(&ending.as_str()) {
        let problem = format!("a .{ending} file has one image, not a video; use {ENDINGS}");
        return Err(Error::argument(format!("{}: {problem}", path.display())));
    }
    let scratch = tempfile::tempdir().map_err(|source| Error::io(std::env::temp_dir(), "write", source))?;
    let part = scratch.path().join("video").with_extension(&ending);
    let encoding = VideoEncoding { size: [64; 2], rate: [25, 1], sound };
    let mut program = Program::start(encoder(&encoding, &part, Some(MOMENT)), path)?;
    let mut input = program.child.stdin.take().ok_or_else(|| Error::Bug("no pipe to ffmpeg".into()))?;
    // The pipe breaks when ffmpeg fails, which it explains.
    (0..2).try_for_each(|_| send(&mut input, &Image::filled(64, 64, &[0; 3]))).ok();
    drop(input);
    program.finish("write").map_err(|problem| match problem.to_string().contains(&part.display().to_string()) {
        // Of an unknown format, ffmpeg only says the file's name.
        true => Error::argument(format!("{}: ffmpeg has no video format .{ending}; use {ENDINGS}", path.display())),
        false => problem,
    })
}

/// Encodes a video file with ffmpeg, atomically, in the format of the file name's extension. `frame` returns the next frame,
/// and none at the end.
///
/// # Errors
/// [`Error::Unsupported`] when ffmpeg is not installed, [`Error::File`] with ffmpeg's message when it fails, and those of
/// `frame`.
pub fn write_video(
    path: impl AsRef<Path>,
    encoding: &VideoEncoding,
    mut frame: impl FnMut() -> Result<Option<Image>>,
) -> Result<()> {
    let path = path.as_ref();
    let unwritable = |source| Error::io(path, "write", source);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // ffmpeg selects the format by the extension.
    let scratch = tempfile::Builder::new().prefix(".lucida-").tempdir_in(folder).map_err(unwritable)?;
    let part = scratch.path().join("video").with_extension(path.extension().unwrap_or_default());
    let mut program = Program::start(encoder(encoding, &part, None), path)?;
    let mut input = program.child.stdin.take().ok_or_else(|| Error::Bug("no pipe to ffmpeg".into()))?;
    while let Some(image) = frame()? {
        if [image.height(), image.width()] != encoding.size {
            return Err(Error::argument("a frame of a video has another size than the first"));
        }
        if let Err(problem) = send(&mut input, &image) {
            // The pipe breaks when ffmpeg fails.
            drop(input);
            return Err(program.finish("encode").err().unwrap_or_else(|| unwritable(problem)));
        }
    }
    drop(input);
    program.finish("encode")?;
    std::fs::rename(&part, path).map_err(unwritable)
}

fn send(input: &mut ChildStdin, image: &Image) -> std::io::Result<()> {
    input.write_all(image.in_channels(3).pixels())
}

/// The command that encodes a video, or its first seconds.
fn encoder(encoding: &VideoEncoding, to: &Path, seconds: Option<&str>) -> Command {
    let VideoEncoding { size: [height, width], rate: [numerator, denominator], sound } = *encoding;
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]);
    if let Some(video) = sound.filter(|video| video.start > 0.001) {
        command.args(["-itsoffset", &video.start.to_string()]);
    }
    command.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", &format!("{width}x{height}")]);
    command.args(["-r", &format!("{numerator}/{denominator}"), "-i", "pipe:0"]);
    if let Some(video) = sound {
        command.arg("-i").arg(plain(&video.path));
        command.args(["-map", "0:v", "-map", "1:a?", "-c:a", "copy", "-map_metadata", "1"]);
    }
    let even = if encoding.written_size() != encoding.size { "crop=trunc(iw/2)*2:trunc(ih/2)*2," } else { "" };
    let filter = format!("{even}scale=out_color_matrix=bt709:out_range=tv,format=yuv420p");
    command.args(["-vf", &filter, "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]);
    command.args(["-crf", QUALITY, "-b:v", "0"]);
    if to.extension().is_some_and(|ending| ["mp4", "m4v", "mov"].iter().any(|other| ending.eq_ignore_ascii_case(other)))
    {
        // Lets players start before the whole file is loaded.
        command.args(["-movflags", "+faststart"]);
    }
    if let Some(seconds) = seconds {
        command.args(["-t", seconds]);
    }
    command.arg(plain(to)).stdin(Stdio::piped()).stdout(Stdio::null());
    command
}

/// A running program and its messages. It is killed on drop.
#[derive(Debug)]
struct Program {
    child: Child,
    said: File,
    path: PathBuf,
}

impl Program {
    /// Starts ffmpeg for a file.
    fn start(mut command: Command, path: &Path) -> Result<Self> {
        let failed = |source| Error::io(std::env::temp_dir(), "write", source);
        // A file instead of a pipe: a full pipe would block the program.
        let said = tempfile::tempfile().map_err(failed)?;
        command.stderr(said.try_clone().map_err(failed)?);
        let child = command.spawn().map_err(|problem| missing(path, "ffmpeg", &problem))?;
        Ok(Self { child, said, path: path.to_owned() })
    }

    /// Waits for the program to exit; its messages become the error.
    fn finish(&mut self, action: &str) -> Result<()> {
        let status = self.child.wait().map_err(|source| Error::io(&self.path, "run ffmpeg for", source))?;
        if status.success() {
            return Ok(());
        }
        let mut text = String::new();
        let said = self.said.seek(SeekFrom::Start(0));
        // If the messages cannot be read, the error is reported without them.
        said.and_then(|_| (&self.said).take(MAX_MESSAGE).read_to_string(&mut text)).ok();
        let last = last_line(&text, &self.path);
        let other_sound = text.contains("in container") || text.contains("Could not find tag for codec");
        let hint = if other_sound { "; a name that ends in .mkv takes any sound" } else { "" };
        Err(Error::file(&self.path, format!("ffmpeg cannot {action} it: {last}{hint}")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail if it has exited already, which can be ignored.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A path in a form that ffmpeg treats as a file, whatever its name starts with.
fn plain(path: &Path) -> std::ffi::OsString {
    let mut name = std::ffi::OsString::from("file:");
    name.push(path);
    name
}

/// The error for a program that does not start.
fn missing(path: &Path, program: &str, problem: &std::io::Error) -> Error {
    if problem.kind() != ErrorKind::NotFound {
        return Error::Unsupported(format!("{}: cannot run {program}: {problem}", path.display()));
    }
    let of_ffmpeg = if program == "ffmpeg" { "" } else { " (a part of ffmpeg)" };
    Error::Unsupported(format!(
        "{}: needs {program}{of_ffmpeg}, which is not installed: `apt install ffmpeg` (Debian, Ubuntu), `dnf install ffmpeg` \
         (Fedora), `brew install ffmpeg` (macOS), `winget install ffmpeg` (Windows); animated GIF, PNG and WebP need no other \
         program",
        path.display()
    ))
}

/// The last line of a program's messages, without the file name, which the error states already.
fn last_line(said: &str, path: &Path) -> String {
    let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it does not say why").trim();
    let name = format!("file:{}: ", path.display());
    line.strip_prefix(&name).unwrap_or(line).to_owned()
}

/// Parses a frame rate such as 30000/1001; 0/0 is none.
fn fraction(text: &str) -> Option<[u32; 2]> {
    let (numerator, denominator) = text.split_once('/')?;
    let rate = [numerator.parse().ok()?, denominator.parse().ok()?];
    (rate[0] > 0 && rate[1] > 0).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_in_a_pipe() {
        let mut bytes = b"P6\n2 1\n255\n\x01\x02\x03\x04\x05\x06P6 1 1 255\n\x07\x08\x09".to_vec();
        let mut input = &bytes[..];
        let limits = Limits::default();
        let first = read_ppm(&mut input, &limits).unwrap().unwrap();
        assert_eq!((first.width(), first.pixels()), (2, &[1, 2, 3, 4, 5, 6][..]));
        assert_eq!(read_ppm(&mut input, &limits).unwrap().unwrap().pixels(), [7, 8, 9]);
        assert!(read_ppm(&mut input, &limits).unwrap().is_none());
        bytes.truncate(15);
        assert!(read_ppm(&mut &bytes[..], &limits).is_err());
        for other in [&b"P5\n1 1\n255\n\0"[..], b"P6\n0 1\n255\n", b"P6\n99999 99999\n255\n", b"P6\nx"] {
            assert!(read_ppm(&mut &other[..], &limits).is_err());
        }
    }

    #[test]
    fn rates_and_messages() {
        assert_eq!(fraction("30000/1001"), Some([30_000, 1001]));
        assert_eq!([fraction("0/0"), fraction("25"), fraction("")], [None; 3]);
        let missing = missing(Path::new("a.mp4"), "ffmpeg", &ErrorKind::NotFound.into()).to_string();
        assert!(missing.contains("apt install ffmpeg") && missing.contains("GIF"), "{missing}");
        assert_eq!(last_line("x\nfile:a.mp4: Invalid data\n\n", Path::new("a.mp4")), "Invalid data");
    }
}
