use super::*;
use crate::data::{Dataset, Mnist};

/// A seven with its size in pixels: a bar on top and a slanted stem.
fn seven(left: usize, top: usize, size: usize, canvas: (usize, usize), ink: &[u8], paper: &[u8]) -> Image {
    let mut image = Image::filled(canvas.0, canvas.1, paper);
    let thick = size / 8;
    for y in 0..size {
        for x in 0..size * 3 / 4 {
            let stem = size * 3 / 4 - thick - y / 2;
            if y < thick || (stem..stem + thick).contains(&x) {
                image.pixel_mut(left + x, top + y).copy_from_slice(ink);
            }
        }
    }
    image
}

fn distance(a: &[u8], b: &[u8]) -> u64 {
    a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
}

fn center_of_mass(image: &Image) -> (f64, f64) {
    let (mut mass, mut x_sum, mut y_sum) = (0.0, 0.0, 0.0);
    for y in 0..28 {
        for x in 0..28 {
            let value = f64::from(image.pixel(x, y)[0]);
            mass += value;
            x_sum += value * x as f64;
            y_sum += value * y as f64;
        }
    }
    (x_sum / mass, y_sum / mass)
}

#[test]
fn a_big_black_seven_on_white_becomes_one_of_mnist() {
    let drawing = seven(150, 20, 160, (400, 300), &[0, 0, 0], &[255, 255, 255]);
    let digit = normalize_digit(&drawing).unwrap();
    assert_eq!((digit.width(), digit.height(), digit.channels()), (28, 28, 1));
    let [_, _, width, height] = ink_box(&digit).unwrap();
    assert_eq!((width, height), (15, 20));
    assert_eq!(digit.pixels().iter().max(), Some(&255));
    assert_eq!(digit.pixel(0, 0), [0]);
    let (x, y) = center_of_mass(&digit);
    assert!((x - 14.0).abs() <= 0.51 && (y - 14.0).abs() <= 0.51, "{x} {y}");
    // A seven has ink at the left of its top bar, and none below it.
    let top = digit.pixels().chunks_exact(28).position(|row| row.iter().any(|&value| value > 0)).unwrap();
    let left = digit.pixels()[(top + 1) * 28..].iter().position(|&value| value > 0).unwrap();
    assert!(digit.pixel(left + 1, top + 1)[0] > 200);
    assert_eq!(digit.pixel(left + 1, top + 8), [0]);
}

#[test]
fn neither_ink_nor_paper_nor_place_nor_size_matter() {
    let reference = normalize_digit(&seven(20, 30, 160, (200, 240), &[0], &[255])).unwrap();
    let others = [
        seven(200, 100, 160, (400, 300), &[255], &[0]),
        seven(20, 30, 160, (300, 300), &[20, 40, 90], &[240, 235, 220]),
        seven(3, 3, 160, (128, 170), &[130], &[60]),
    ];
    for other in &others {
        let digit = normalize_digit(other).unwrap();
        for (got, expected) in digit.pixels().iter().zip(reference.pixels()) {
            assert!(got.abs_diff(*expected) <= 3, "{got} {expected}");
        }
    }
    let small = normalize_digit(&seven(5, 5, 48, (64, 64), &[0], &[255])).unwrap();
    let difference = distance(small.pixels(), reference.pixels());
    assert!(difference / 784 < 4, "{difference}");
}

#[test]
fn the_grain_of_the_paper_is_not_ink() {
    let mut photo = seven(60, 60, 160, (400, 300), &[40], &[215]);
    let mut state = 1_u32;
    for value in photo.pixels_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = value.saturating_add((state >> 28) as u8);
    }
    let digit = normalize_digit(&photo).unwrap();
    let [_, _, width, height] = ink_box(&digit).unwrap();
    assert_eq!((width, height), (15, 20));
    assert_eq!(digit.pixel(0, 0), [0]);
}

#[test]
fn a_image_of_28x28_is_taken_as_it_is() {
    let digits = Mnist::builtin().unwrap().train;
    for index in 0..200 {
        let image = digits.image(index).unwrap();
        assert_eq!(normalize_digit(&image).unwrap(), image);
        let mut inverted = image.clone();
        inverted.pixels_mut().iter_mut().for_each(|value| *value = 255 - *value);
        assert_eq!(normalize_digit(&inverted).unwrap(), image);
    }
}

/// Digits of MNIST, thresholded and enlarged like their originals and moved on white paper, are recovered almost unchanged.
/// (Moved by one pixel, they would differ by more than half of their ink.)
#[test]
fn an_enlarged_digit_of_mnist_comes_back() {
    let digits = Mnist::builtin().unwrap().train;
    let (mut difference, mut moved, mut ink, count) = (0, 0, 0, 300);
    let (mut x_total, mut y_total) = (0.0, 0.0);
    for index in 0..count {
        let original = digits.image(index).unwrap();
        let (x, y) = center_of_mass(&original);
        x_total += x;
        y_total += y;
        let mut large = original.resize(280, 280, Filter::Bicubic).unwrap().pad(400, 350, 10, 60).unwrap();
        large.pixels_mut().iter_mut().for_each(|value| *value = if *value > 127 { 0 } else { 255 });
        let back = normalize_digit(&large).unwrap();
        difference += distance(back.pixels(), original.pixels());
        moved += distance(&original.pixels()[1..], original.pixels());
        ink += original.pixels().iter().map(|&value| u64::from(value)).sum::<u64>();
    }
    let (x, y) = (x_total / count as f64, y_total / count as f64);
    assert!((x - MIDDLE).abs() < 0.5 && (y - MIDDLE).abs() < 0.5, "MNIST's middle is at {x:.2}, {y:.2}");
    assert!((difference as f64) < 0.22 * ink as f64, "{difference} of {ink}");
    assert!(moved as f64 > 0.5 * ink as f64, "{moved} of {ink}");
}

#[test]
fn a_blank_or_tiny_image_gives_a_black_image() {
    for image in [
        Image::filled(50, 60, &[255, 255, 255]),
        Image::filled(50, 60, &[0]),
        Image::filled(1, 1, &[128]),
        Image::filled(2, 300, &[90]),
    ] {
        assert_eq!(normalize_digit(&image).unwrap(), Image::filled(28, 28, &[0]));
    }
    let empty = normalize_digit(&Image::new(0, 7, 1, vec![]).unwrap()).unwrap();
    assert_eq!(empty, Image::filled(28, 28, &[0]));
    // A single stroke, one pixel wide.
    let mut stroke = Image::filled(500, 40, &[255]);
    for x in 5..495 {
        stroke.pixel_mut(x, 20)[0] = 0;
    }
    let digit = normalize_digit(&stroke).unwrap();
    assert_eq!(ink_box(&digit).unwrap()[2..], [20, 1]);
}

/// Dust and the edge of the sheet are removed, the separate bar of a five is kept.
#[test]
fn specks_and_the_edge_of_the_sheet_are_not_the_digit() {
    let reference = normalize_digit(&seven(100, 60, 100, (300, 220), &[30], &[230])).unwrap();
    let mut photo = seven(100, 60, 100, (300, 220), &[30], &[230]);
    for (x, y) in [(20, 30), (21, 30), (20, 31), (270, 200), (271, 201), (150, 5)] {
        photo.pixel_mut(x, y)[0] = 40;
    }
    for y in 0..220 {
        for x in 290..300 {
            photo.pixel_mut(x, y)[0] = 60;
        }
    }
    assert!(distance(normalize_digit(&photo).unwrap().pixels(), reference.pixels()) < 784);
    let mut in_two = Image::filled(200, 200, &[230]);
    for y in 60..150 {
        for x in 60..72 {
            in_two.pixel_mut(x, y)[0] = 30;
        }
    }
    for x in 80..110 {
        for y in 60..70 {
            in_two.pixel_mut(x, y)[0] = 30;
        }
    }
    let [_, _, width, height] = ink_box(&normalize_digit(&in_two).unwrap()).unwrap();
    assert_eq!((width, height), (11, 20));
}
