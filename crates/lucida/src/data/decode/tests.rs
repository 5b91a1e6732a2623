use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{Frame, ImageBuffer, Luma, Rgb, Rgba, RgbaImage};
use proptest::prelude::*;

use super::*;
use crate::core::{Purpose, Rng};

fn decoded(bytes: &[u8]) -> Result<Image> {
    Image::decode(bytes, Path::new("x.png"), &Limits::default())
}

/// The error message, which must be one line that starts with the file name.
fn message(bytes: &[u8]) -> String {
    let message = decoded(bytes).unwrap_err().to_string();
    assert!(message.starts_with("x.png: ") && !message.contains('\n'), "{message}");
    message["x.png: ".len()..].to_owned()
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Builds a PNG file from the last five bytes of its header (depth, color type, ...), other chunks, and rows with filter
/// bytes.
fn png(width: u32, height: u32, kind: [u8; 5], chunks: &[(&[u8; 4], &[u8])], rows: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], data: &[u8]| {
        let mut checksum = flate2::Crc::new();
        checksum.update(name);
        checksum.update(data);
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(name);
        bytes.extend(data);
        bytes.extend(checksum.sum().to_be_bytes());
    };
    chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &kind].concat());
    for (name, data) in chunks {
        chunk(name, data);
    }
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(rows).unwrap();
    chunk(b"IDAT", &packer.finish().unwrap());
    chunk(b"IEND", &[]);
    bytes
}

/// Red, green, blue and white quarters of 16x16 pixels each.
fn quarters() -> ImageBuffer<Rgb<u8>, Vec<u8>> {
    ImageBuffer::from_fn(32, 32, |x, y| match (x < 16, y < 16) {
        (true, true) => Rgb([255, 0, 0]),
        (false, true) => Rgb([0, 255, 0]),
        (true, false) => Rgb([0, 0, 255]),
        (false, false) => Rgb([255, 255, 255]),
    })
}

fn jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(&quarters()).unwrap();
    bytes
}

/// A JPEG file of 8x8 pixels of one color in four components, inverted as Photoshop writes CMYK.
fn cmyk_jpeg(components: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![0xff, 0xd8];
    let mut segment = |marker: u8, data: &[u8]| {
        bytes.extend([0xff, marker]);
        bytes.extend((data.len() as u16 + 2).to_be_bytes());
        bytes.extend(data);
    };
    segment(0xee, b"Adobe\x00\x64\x00\x00\x00\x00\x00"); // transform 0: CMYK
    segment(0xdb, &[&[0][..], &[8; 64]].concat()); // every step is 8, so that a DC step is one level of the pixel
    segment(0xc0, &[8, 0, 8, 0, 8, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0]);
    // DC: nine codes of four bits, for 0 to 8 bits that follow. AC: one code of one bit, for the end of the block.
    segment(0xc4, &[0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    segment(0xc4, &[0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    segment(0xda, &[4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]);
    let mut bits = String::new();
    for component in components {
        let level = i32::from(component) - 128;
        let size = 32 - level.unsigned_abs().leading_zeros() as usize;
        bits += &format!("{size:04b}");
        if size > 0 {
            let value = if level > 0 { level } else { level + (1 << size) - 1 };
            bits += &format!("{value:0size$b}");
        }
        bits += "0";
    }
    bits += &"1".repeat((8 - bits.len() % 8) % 8);
    for byte in bits.as_bytes().chunks(8) {
        let byte = byte.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0'));
        bytes.push(byte);
        if byte == 0xff {
            bytes.push(0);
        }
    }
    bytes.extend([0xff, 0xd9]);
    bytes
}

/// Inserts an EXIF segment with an orientation, big-endian, after the start of a JPEG file.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01".to_vec();
    exif.extend(b"\x01\x12\x00\x03\x00\x00\x00\x01\x00");
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    [&jpeg[..2], &exif, &jpeg[2..]].concat()
}

#[test]
fn sixteen_bits_are_rounded_to_eight() {
    let gray = ImageBuffer::<Luma<u16>, _>::from_raw(4, 1, vec![0, 65535, 257 * 77 + 128, 257 * 77 + 129]).unwrap();
    let image = decoded(&encoded(gray, ImageFormat::Png)).unwrap();
    assert_eq!((image.channels(), image.pixels()), (1, &[0, 255, 77, 78][..]));
    let color = ImageBuffer::<Rgb<u16>, _>::from_raw(1, 1, vec![257 * 3, 257 * 200, 257 * 9]).unwrap();
    assert_eq!(decoded(&encoded(color, ImageFormat::Png)).unwrap().pixels(), [3, 200, 9]);
    let clear = ImageBuffer::<Rgba<u16>, _>::from_raw(1, 1, vec![0, 65535, 0, 32768]).unwrap();
    assert_eq!(decoded(&encoded(clear, ImageFormat::Png)).unwrap().pixels(), [127, 255, 127]);
}

#[test]
fn a_palette_is_looked_up() {
    // Four pixels of two bits: 0, 1, 2, 1. The third color is transparent.
    let palette = [9, 8, 7, 200, 100, 50, 1, 2, 3];
    let file = png(4, 1, [2, 3, 0, 0, 0], &[(b"PLTE", &palette)], &[0, 0b0001_1001]);
    assert_eq!(decoded(&file).unwrap().pixels(), [9, 8, 7, 200, 100, 50, 1, 2, 3, 200, 100, 50]);
    let file = png(4, 1, [2, 3, 0, 0, 0], &[(b"PLTE", &palette), (b"tRNS", &[255, 255, 0])], &[0, 0b0001_1001]);
    assert_eq!(decoded(&file).unwrap().pixels(), [9, 8, 7, 200, 100, 50, 255, 255, 255, 200, 100, 50]);
}

#[test]
fn one_bit_of_gray_is_black_or_white() {
    let file = png(4, 1, [1, 0, 0, 0, 0], &[], &[0, 0b0110_0000]);
    let image = decoded(&file).unwrap();
    assert_eq!((image.channels(), image.pixels()), (1, &[0, 255, 255, 0][..]));
}

#[test]
fn transparency_lies_over_white() {
    let pixels = vec![0, 0, 0, 0, 100, 150, 200, 255, 0, 255, 0, 51];
    let image = ImageBuffer::<Rgba<u8>, _>::from_raw(3, 1, pixels).unwrap();
    // The last one: 0 * 0.2 + 255 * 0.8 = 204.
    let expected = [255, 255, 255, 100, 150, 200, 204, 255, 204];
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff] {
        assert_eq!(decoded(&encoded(image.clone(), format)).unwrap().pixels(), expected, "{format:?}");
    }
    assert_eq!(Image::over_white(3, 1, 4, image.as_raw()).unwrap().pixels(), expected);
    let gray = png(2, 1, [8, 4, 0, 0, 0], &[], &[0, 10, 255, 10, 0]);
    assert_eq!(decoded(&gray).unwrap(), Image::new(2, 1, 1, vec![10, 255]).unwrap());
    assert_eq!(decoded(&gray).unwrap(), Image::over_white(2, 1, 2, &[10, 255, 10, 0]).unwrap());
    for (channels, bytes) in [(3, 3), (2, 3), (2, 6)] {
        assert!(matches!(Image::over_white(2, 1, channels, &vec![0; bytes]), Err(Error::Argument(_))));
    }
}

#[test]
fn every_format_is_read_whatever_its_name() {
    let expected = Image::new(32, 32, 3, quarters().into_raw()).unwrap();
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff, ImageFormat::WebP] {
        assert_eq!(decoded(&encoded(quarters(), format)).unwrap(), expected, "{format:?}");
    }
    let lossy = decoded(&jpeg()).unwrap();
    assert!(lossy.pixels().iter().zip(expected.pixels()).all(|(a, b)| a.abs_diff(*b) < 12));
    let gray = ImageBuffer::<Luma<u8>, _>::from_pixel(9, 3, Luma([77]));
    assert_eq!(decoded(&encoded(gray, ImageFormat::Jpeg)).unwrap(), Image::filled(9, 3, &[77]));
}

#[test]
fn the_first_frame_of_an_animation_is_shown() {
    let frame = |color| Frame::new(RgbaImage::from_pixel(5, 4, Rgba(color)));
    let mut bytes = Vec::new();
    GifEncoder::new(&mut bytes).encode_frames([frame([9, 90, 200, 255]), frame([255, 0, 0, 255])]).unwrap();
    assert_eq!(decoded(&bytes).unwrap(), Image::filled(5, 4, &[9, 90, 200]));
}

#[test]
fn cmyk_becomes_rgb() {
    let near = |components, expected: [u8; 3]| {
        let image = decoded(&cmyk_jpeg(components)).unwrap();
        assert_eq!((image.width(), image.height(), image.channels()), (8, 8, 3));
        let close = image.pixels().chunks(3).all(|rgb| (0..3).all(|i| rgb[i].abs_diff(expected[i]) <= 2));
        assert!(close, "{components:?}: {:?} is not {expected:?}", image.pixel(0, 0));
    };
    near([255; 4], [255, 255, 255]); // no ink
    near([255, 255, 255, 0], [0, 0, 0]); // all black
    near([0, 255, 255, 255], [0, 255, 255]); // cyan takes the red
    near([200, 100, 50, 128], [100, 50, 25]);
}

#[test]
fn the_turn_that_exif_notes_is_made() {
    let corners = |image: &Image| {
        [(4, 4), (27, 4), (4, 27), (27, 27)].map(|(x, y)| {
            let rgb = image.pixel(x, y);
            match [rgb[0] > 128, rgb[1] > 128, rgb[2] > 128] {
                [true, false, false] => 'r',
                [false, true, false] => 'g',
                [false, false, true] => 'b',
                _ => 'w',
            }
        })
    };
    // The stored rows and columns, from the EXIF standard: 6 means that the first row is the right-hand side.
    let expected = [
        (1, ['r', 'g', 'b', 'w']),
        (2, ['g', 'r', 'w', 'b']),
        (3, ['w', 'b', 'g', 'r']),
        (4, ['b', 'w', 'r', 'g']),
        (5, ['r', 'b', 'g', 'w']),
        (6, ['b', 'r', 'w', 'g']),
        (7, ['w', 'g', 'b', 'r']),
        (8, ['g', 'w', 'r', 'b']),
        (9, ['r', 'g', 'b', 'w']),
    ];
    for (orientation, expected) in expected {
        let image = decoded(&with_orientation(&jpeg(), orientation)).unwrap();
        assert_eq!(corners(&image), expected, "{orientation}");
    }
    let mut wide = Vec::new();
    JpegEncoder::new(&mut wide).encode_image(&ImageBuffer::from_pixel(40, 16, Rgb([1_u8, 2, 3]))).unwrap();
    let turned = decoded(&with_orientation(&wide, 6)).unwrap();
    assert_eq!((turned.width(), turned.height()), (16, 40));
}

#[test]
fn what_is_no_image_is_named() {
    assert_eq!(message(b""), "not an image: the file is empty");
    assert_eq!(
        message(b"hello, world, I am a text file"),
        "not an image: it starts with \"hello, world\"; expected JPEG, PNG, BMP, GIF, TIFF or WebP"
    );
    assert!(message(&[1, 2, 0xfe]).starts_with("not an image: it starts with 01 02 fe"));
    assert!(matches!(decoded(b"\0\0\0\x20ftypavif\0\0\0\0"), Err(Error::Unsupported(_))));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    assert!(matches!(Image::open(&path), Err(Error::Io { action: "read", .. })));
    assert!(matches!(Image::open(folder.path()), Err(Error::File { .. })));
    std::fs::write(&path, "text").unwrap();
    assert!(Image::open(&path).unwrap_err().to_string().contains("a.png: not an image: it starts with \"text\""));
    let limits = Limits { file_bytes: 3, ..Limits::default() };
    assert!(matches!(Image::open_with(&path, &limits), Err(Error::Limit { .. })));
}

#[test]
fn what_is_cut_short_is_refused() {
    let formats = [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff, ImageFormat::WebP];
    for format in formats {
        let bytes = encoded(quarters(), format);
        for len in [9, bytes.len() / 2, bytes.len() * 3 / 4] {
            let error = decoded(&bytes[..len]).unwrap_err();
            assert!(matches!(error, Error::File { .. }), "{format:?} of {len} bytes: {error}");
            message(&bytes[..len]);
        }
    }
    let photo = with_orientation(&jpeg(), 6);
    for len in (4..photo.len() - 1).step_by(7).chain([photo.len() - 1]) {
        assert!(matches!(decoded(&photo[..len]), Err(Error::File { .. })), "{len} of {} bytes", photo.len());
    }
    assert_eq!(message(&photo[..photo.len() - 9]), "truncated JPEG: the end marker is missing");
    // A thumbnail in the metadata has its own end marker, and bytes after the end do not matter.
    let thumbnail = [&photo[..2], &b"\xff\xe2\x00\x06\xff\xd9\xff\xd9"[..], &photo[2..]].concat();
    assert!(decoded(&thumbnail[..thumbnail.len() - 2]).is_err());
    assert!(decoded(&[&thumbnail[..], b"trailing"].concat()).is_ok());
}

#[test]
fn a_huge_image_is_refused_by_its_header() {
    let file = png(30_000, 30_000, [8, 2, 0, 0, 0], &[], &[0]);
    let error = decoded(&file).unwrap_err();
    assert_eq!(error.to_string(), "x.png: size in pixels (30000x30000): 900000000 is over the limit of 100000000");
    let limits = Limits { pixels: 1000, ..Limits::default() };
    for format in [ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Tiff, ImageFormat::WebP] {
        let error = Image::decode(&encoded(quarters(), format), Path::new("x"), &limits).unwrap_err();
        assert!(matches!(error, Error::Limit { got: 1024, limit: 1000, .. }), "{format:?}: {error}");
    }
    assert!(decoded(&png(u32::MAX >> 1, u32::MAX >> 1, [16, 6, 0, 0, 0], &[], &[0])).is_err());
}

#[test]
fn photos_of_the_shared_set_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cats-dogs/validation/cats");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: there is no {}", folder.display());
        return;
    };
    for entry in entries.take(5) {
        let image = Image::open(entry.unwrap().path()).unwrap();
        assert_eq!((image.width(), image.height(), image.channels()), (200, 200, 3));
    }
}

/// A JPEG file on which zune-jpeg 0.5.15 panics: a CMYK image with some bytes changed.
const PANICS: &[u8] = include_bytes!("../../../tests/pictures/damaged-cmyk.jpg");

#[test]
fn a_panic_of_a_decoder_is_an_error() {
    let error = decoded(PANICS).unwrap_err();
    assert!(matches!(error, Error::File { .. }));
    assert!(message(PANICS).starts_with("cannot decode: the Jpeg decoder failed"), "{error}");
}

/// A TIFF file with one strip.
fn tiff_of<C>(width: u32, height: u32, samples: &[C::Inner]) -> Vec<u8>
where
    C: ::tiff::encoder::colortype::ColorType,
    [C::Inner]: ::tiff::encoder::TiffValue,
{
    let mut bytes = Cursor::new(Vec::new());
    ::tiff::encoder::TiffEncoder::new(&mut bytes).unwrap().write_image::<C>(width, height, samples).unwrap();
    bytes.into_inner()
}

#[test]
fn tiff_of_every_depth_is_read() {
    use ::tiff::encoder::colortype::{Gray16, Gray32, Gray32Float, Gray64Float, RGB16, RGB32, RGB32Float, RGBA32Float};
    let check = |bytes: &[u8], channels, expected: &[u8]| {
        let image = decoded(bytes).unwrap();
        assert_eq!(image, Image::new(2, 2, channels, expected.to_vec()).unwrap());
    };
    // Values outside 0..1 are clipped, and NaN is black.
    check(&tiff_of::<Gray32Float>(2, 2, &[0.0, 0.5, 1.0, 0.2]), 1, &[0, 128, 255, 51]);
    check(&tiff_of::<Gray32Float>(2, 2, &[-3.0, 7.0, f32::NAN, f32::INFINITY]), 1, &[0, 255, 0, 255]);
    check(&tiff_of::<Gray64Float>(2, 2, &[0.0, 0.5, 1.0, 0.2]), 1, &[0, 128, 255, 51]);
    check(&tiff_of::<Gray16>(2, 2, &[0, 32768, 65535, 13107]), 1, &[0, 128, 255, 51]);
    check(&tiff_of::<Gray32>(2, 2, &[0, 1 << 31, u32::MAX, u32::MAX / 5]), 1, &[0, 128, 255, 51]);
    let rgb = [0, 128, 255, 51, 51, 51, 255, 255, 255, 0, 0, 0];
    check(&tiff_of::<RGB32Float>(2, 2, &rgb.map(|value| f32::from(value) / 255.0)), 3, &rgb);
    check(&tiff_of::<RGB16>(2, 2, &rgb.map(|value| u16::from(value) * 257)), 3, &rgb);
    check(&tiff_of::<RGB32>(2, 2, &rgb.map(|value| u32::from(value) * 0x0101_0101)), 3, &rgb);
    let rgba = [0.0, 0.4, 1.0, 1.0, 0.2, 0.2, 0.2, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    check(&tiff_of::<RGBA32Float>(2, 2, &rgba), 3, &[0, 102, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0]);
}

#[test]
fn a_wide_tiff_is_held_to_the_limit_and_to_its_length() {
    let bytes = tiff_of::<::tiff::encoder::colortype::Gray32Float>(40, 40, &[0.5; 1600]);
    let limits = Limits { pixels: 1000, ..Limits::default() };
    let error = Image::decode(&bytes, Path::new("x"), &limits).unwrap_err();
    assert!(matches!(error, Error::Limit { got: 1600, limit: 1000, .. }), "{error}");
    for len in [9, bytes.len() / 2, bytes.len() * 3 / 4] {
        assert!(matches!(decoded(&bytes[..len]), Err(Error::File { .. })), "{len}");
    }
}

#[test]
fn changed_bytes_never_panic() {
    use ::tiff::encoder::colortype::{Gray32Float, RGB16};
    let deep = ImageBuffer::<Rgb<u16>, _>::from_fn(9, 7, |x, y| Rgb([(x * 7000) as u16, (y * 9000) as u16, 99]));
    let mut webp = Vec::new();
    image::codecs::webp::WebPEncoder::new_lossless(&mut webp)
        .encode(&quarters(), 32, 32, ColorType::Rgb8.into())
        .unwrap();
    let files = [
        cmyk_jpeg([200, 100, 50, 128]),
        PANICS.to_vec(),
        jpeg(),
        with_orientation(&jpeg(), 6),
        encoded(quarters(), ImageFormat::Png),
        encoded(deep, ImageFormat::Png),
        encoded(quarters(), ImageFormat::Gif),
        encoded(quarters(), ImageFormat::Tiff),
        tiff_of::<Gray32Float>(8, 8, &[0.5; 64]),
        tiff_of::<RGB16>(4, 4, &[30_000; 48]),
        webp,
        encoded(quarters(), ImageFormat::Bmp),
    ];
    let rounds = std::env::var("LUCIDA_FUZZ_ROUNDS").map_or(400, |text| text.parse().unwrap());
    let limits = Limits { pixels: 100_000, ..Limits::default() };
    let mut random = Rng::keyed(1, Purpose::Choice, 0);
    let mut caught = vec![0; files.len()];
    for _ in 0..rounds {
        for (file, caught) in files.iter().zip(&mut caught) {
            let mut bytes = file.clone();
            for _ in 0..=random.below(7) {
                let at = random.below(bytes.len());
                bytes[at] = random.next_u32() as u8;
            }
            match Image::decode(&bytes, Path::new("x"), &limits) {
                Ok(image) => assert!(image.width() * image.height() <= 100_000),
                Err(error) => {
                    assert!(!matches!(error, Error::Bug(_)), "{error}");
                    *caught += usize::from(error.to_string().contains("cannot decode"));
                }
            }
        }
    }
    eprintln!("panics of decoders that were caught, by file: {caught:?}");
}

proptest! {
    #[test]
    fn damaged_files_never_panic(
        which in 0_usize..9,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in 0_usize..40,
    ) {
        let mut bytes = match which {
            0 => jpeg(),
            1 => with_orientation(&jpeg(), 6),
            2 => cmyk_jpeg([1, 2, 3, 4]),
            3 => png(4, 1, [2, 3, 0, 0, 0], &[(b"PLTE", &[1; 9])], &[0, 0x19]),
            4 => encoded(quarters(), ImageFormat::Png),
            5 => encoded(quarters(), ImageFormat::Bmp),
            6 => encoded(quarters(), ImageFormat::Gif),
            7 => encoded(quarters(), ImageFormat::Tiff),
            _ => encoded(quarters(), ImageFormat::WebP),
        };
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(bytes.len() - cut);
        let limits = Limits { pixels: 100_000, ..Limits::default() };
        if let Ok(image) = Image::decode(&bytes, Path::new("x"), &limits) {
            prop_assert!(image.width() * image.height() <= 100_000);
        }
    }

    #[test]
    fn random_bytes_never_panic(start in 0_usize..7, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let magics: [&[u8]; 7] =
            [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"II*\0\x08\0\0\0", b"RIFF\x80\0\0\0WEBPVP8L"];
        let _ = decoded(&[magics[start], &bytes[..]].concat());
    }
}
