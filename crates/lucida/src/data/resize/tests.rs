use super::*;

const FILTERS: [Filter; 4] = [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos3];

fn ramp(width: usize, height: usize) -> Image {
    let pixels = (0..width * height).map(|i| (i % width * 255 / (width - 1)) as u8).collect();
    Image::new(width, height, 1, pixels).unwrap()
}

#[test]
fn one_color_stays_that_color() {
    let image = Image::filled(17, 9, &[200, 100, 7]);
    for filter in FILTERS {
        for (width, height) in [(5, 5), (40, 3), (1, 1), (17, 9)] {
            assert_eq!(image.resize(width, height, filter).unwrap(), Image::filled(width, height, &[200, 100, 7]));
        }
    }
}

#[test]
fn a_smaller_image_is_antialiased() {
    // A fine checkerboard becomes gray, while nearest picks one of its two colors.
    let board = (0..64 * 64).map(|i| if (i % 64 + i / 64) % 2 == 0 { 0 } else { 255 }).collect();
    let board = Image::new(64, 64, 1, board).unwrap();
    for filter in FILTERS {
        let small = board.resize(8, 8, filter).unwrap();
        let gray = small.pixels().iter().all(|value| (115..=140).contains(value));
        assert_eq!(gray, filter != Filter::Nearest, "{filter:?}: {:?}", small.pixels());
    }
}

/// The triangle filter by its definition, in one dimension.
fn bilinear(row: &[u8], to: usize) -> Vec<f64> {
    let scale = row.len() as f64 / to as f64;
    let support = scale.max(1.0);
    let at = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        let weight = |x: usize| (1.0 - ((x as f64 + 0.5 - center) / support).abs()).max(0.0);
        let total: f64 = (0..row.len()).map(weight).sum();
        (0..row.len()).map(|x| weight(x) * f64::from(row[x])).sum::<f64>() / total
    };
    (0..to).map(at).collect()
}

#[test]
fn bilinear_is_the_triangle_filter() {
    let row: Vec<u8> = (0..50_u32).map(|i| (i * i * 31 % 256) as u8).collect();
    let image = Image::new(50, 1, 1, row.clone()).unwrap();
    for to in [7, 20, 49, 120] {
        let got = image.resize(to, 1, Filter::Bilinear).unwrap();
        for (got, expected) in got.pixels().iter().zip(bilinear(&row, to)) {
            assert!((f64::from(*got) - expected).abs() <= 1.0, "{to}: {got} {expected}");
        }
    }
}

#[test]
fn a_part_is_cut_out() {
    let image = Image::new(3, 2, 3, (0..18).collect()).unwrap();
    assert_eq!(image.crop(1, 1, 2, 1).unwrap().pixels(), [12, 13, 14, 15, 16, 17]);
    assert_eq!(image.crop(0, 0, 3, 2).unwrap(), image);
    for (x, y, width, height) in [(2, 0, 2, 1), (0, 0, 1, 3), (usize::MAX, 0, 2, 1), (4, 0, 0, 1)] {
        assert!(matches!(image.crop(x, y, width, height), Err(Error::Argument(_))));
    }
}

#[test]
fn a_border_is_added() {
    let image = Image::new(2, 1, 1, vec![1, 2]).unwrap();
    assert_eq!(image.pad(4, 3, 1, 2).unwrap().pixels(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0]);
    assert!(image.pad(4, 3, 3, 0).is_err());
    assert!(image.pad(4, 3, 0, usize::MAX).is_err());
}

#[test]
fn proportions_are_kept_by_crop_and_pad() {
    let wide = ramp(200, 100);
    let stretched = wide.fit(50, 50, Fit::Stretch, Filter::Bilinear).unwrap();
    assert!(stretched.pixel(0, 0)[0] < 5 && stretched.pixel(49, 0)[0] > 250);
    // The middle hundred columns of the gradient: one quarter to three quarters of the range.
    let cropped = wide.fit(50, 50, Fit::Crop, Filter::Bilinear).unwrap();
    assert!((62..=67).contains(&cropped.pixel(0, 25)[0]), "{:?}", cropped.pixel(0, 25));
    assert!((188..=193).contains(&cropped.pixel(49, 25)[0]), "{:?}", cropped.pixel(49, 25));
    let padded = Image::filled(200, 100, &[9, 9, 9]).fit(50, 50, Fit::Pad, Filter::Bilinear).unwrap();
    let rows: Vec<u8> = (0..50).map(|y| padded.pixel(20, y)[1]).collect();
    assert_eq!(rows, [vec![0; 12], vec![9; 25], vec![0; 13]].concat());
    for fit in [Fit::Stretch, Fit::Crop, Fit::Pad] {
        for (width, height) in [(3, 100), (100, 3), (1, 1), (7, 7)] {
            let got = wide.fit(width, height, fit, Filter::Nearest).unwrap();
            assert_eq!((got.width(), got.height()), (width, height));
            assert!(Image::filled(1, 900, &[1]).fit(width, height, fit, Filter::Lanczos3).is_ok());
        }
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let image = ramp(4, 4);
    assert!(matches!(image.resize(0, 5, Filter::Nearest), Err(Error::Argument(_))));
    assert!(matches!(image.resize(100_000, 100_000, Filter::Nearest), Err(Error::Limit { .. })));
    assert!(matches!(image.resize(usize::MAX, usize::MAX, Filter::Nearest), Err(Error::Limit { .. })));
    let empty = Image::new(0, 3, 1, vec![]).unwrap();
    for fit in [Fit::Stretch, Fit::Crop, Fit::Pad] {
        assert!(matches!(empty.fit(2, 2, fit, Filter::Bilinear), Err(Error::Argument(_))));
    }
}
