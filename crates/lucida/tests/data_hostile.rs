//! Damaged data files result in an error or are read without harm, in bounded time and memory; never in a panic or a hang.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, ImageFormat, RgbImage, RgbaImage};
use lucida::core::{Purpose, Rng};
use lucida::data::idx::{self, Content};
use lucida::data::{Image, Limits};
use lucida::{Error, Result};

/// Random numbers with a fixed seed.
fn random(seed: u64) -> Rng {
    Rng::keyed(seed, Purpose::Choice, 0)
}

/// Number of rounds: `usual`, times `LUCIDA_FUZZ` if set.
fn rounds(usual: usize) -> usize {
    usual * std::env::var("LUCIDA_FUZZ").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// Low limits: anything declared beyond them must be rejected.
fn limits() -> Limits {
    Limits { file_bytes: 1 << 20, unpacked_bytes: 8 << 20, pixels: 1 << 20 }
}

/// Reads bytes with all kinds of damage.
fn torment<T>(name: &str, bytes: &[u8], seed: u64, read: impl Fn(&[u8]) -> Result<T>) {
    let attempt = |damaged: &[u8]| {
        let start = Instant::now();
        let result = read(damaged);
        assert!(start.elapsed() < Duration::from_secs(3), "{name}: {:?}", start.elapsed());
        if let Err(problem) = &result {
            assert!(!problem.to_string().contains('\n') && !matches!(problem, Error::Bug(_)), "{name}: {problem}");
        }
        result.is_ok()
    };
    assert!(attempt(bytes), "{name}");
    let mut random = random(seed);
    for _ in 0..rounds(50) {
        attempt(&bytes[..random.below(bytes.len())]);
    }
    for round in 0..rounds(200) {
        let mut damaged = bytes.to_vec();
        // Every other round damages the headers.
        let range = if round % 2 == 0 { bytes.len() } else { bytes.len().min(64) };
        for _ in 0..=round % 4 {
            damaged[random.below(range)] ^= 1 << random.below(8);
        }
        attempt(&damaged);
        // Extreme numbers, in either byte order.
        let value = [u32::MAX, 0, 1 << 30, 0x7fff_ffff, 0x8000, 1][random.below(6)];
        let at = random.below(range.max(5) - 4);
        let mut damaged = bytes.to_vec();
        damaged[at..at + 4].copy_from_slice(&if round % 2 == 0 { value.to_be_bytes() } else { value.to_le_bytes() });
        attempt(&damaged);
        // Copies a part over another.
        let mut damaged = bytes.to_vec();
        let len = 1 + random.below(16.min(bytes.len() - 1));
        let (from, to) = (random.below(bytes.len() - len), random.below(bytes.len() - len));
        damaged.copy_within(from..from + len, to);
        attempt(&damaged);
    }
}

#[test]
fn idx_files() {
    let mut plain = vec![0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 12, 0, 0, 0, 10];
    plain.extend((0..600_u32).map(|i| (i * 37) as u8));
    let mut labels = vec![0, 0, 8, 1, 0, 0, 0, 40];
    labels.extend((0..40).map(|i| i % 10));
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&plain).unwrap();
    let packed = packed.finish().unwrap();
    let files = [("images", plain, Content::Images), ("labels", labels, Content::Labels), ("gz", packed, Content::Any)];
    for (seed, (name, bytes, content)) in (1..).zip(files) {
        torment(name, &bytes, seed, |bytes| {
            let found = idx::parse(bytes, Path::new(name), content, &limits())?;
            assert_eq!(found.dims.iter().product::<usize>(), found.data.len());
            Ok(())
        });
    }
}

#[test]
fn an_idx_bomb_is_refused_before_it_unpacks() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&[0, 0, 8, 1, 0x00, 0x70, 0, 0]).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..64).for_each(|_| packed.write_all(&zeros).unwrap());
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1 << 17);
    let problem = idx::parse(&packed, Path::new("bomb"), Content::Labels, &limits()).unwrap_err().to_string();
    assert!(
        problem.contains("is cut short") || problem.contains("more than the") || problem.contains("limit"),
        "{problem}"
    );
}

#[test]
fn images() {
    let rgb = RgbImage::from_fn(23, 17, |x, y| image::Rgb([(x * 11) as u8, (y * 15) as u8, (x * y) as u8]));
    let rgba = RgbaImage::from_fn(9, 14, |x, y| image::Rgba([(x * 11) as u8, (y * 15) as u8, 7, (x * 20) as u8]));
    let images = [DynamicImage::from(rgb), DynamicImage::from(rgba)];
    let formats = [
        ("a.png", ImageFormat::Png, 1),
        ("a.jpg", ImageFormat::Jpeg, 0),
        ("a.bmp", ImageFormat::Bmp, 0),
        ("a.gif", ImageFormat::Gif, 1),
        ("a.tiff", ImageFormat::Tiff, 0),
        ("a.webp", ImageFormat::WebP, 0),
    ];
    for (seed, (name, format, image)) in (10..).zip(formats) {
        let mut bytes = std::io::Cursor::new(Vec::new());
        images[image].write_to(&mut bytes, format).unwrap();
        torment(name, &bytes.into_inner(), seed, |bytes| {
            let image = Image::decode(bytes, Path::new(name), &limits())?;
            assert_eq!(image.pixels().len(), image.width() * image.height() * image.channels());
            Ok(())
        });
    }
}
