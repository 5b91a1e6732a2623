//! Filters compared with direct loops over the pixels.

use super::canny::{connected, ridges};
use super::*;

fn scene(width: usize, height: usize, channels: usize) -> Image {
    let value = |x: usize, y: usize, c: usize| {
        let (x, y) = (x as f64 - 30.0, y as f64 - 25.0);
        let disc = if x.hypot(y) < 18.0 { 120.0 } else { 20.0 };
        (disc + 40.0 * ((x + 2.0 * y) / 9.0 + c as f64).sin()).clamp(0.0, 255.0) as u8
    };
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..channels).map(move |c| value(x, y, c))));
    Image::new(width, height, channels, pixels.collect()).unwrap()
}

/// A correlation with replicated borders, in double precision.
fn by_loops(plane: &[f64], [height, width]: [usize; 2], taps: &[f64], [rows, columns]: [usize; 2]) -> Vec<f64> {
    let at =
        |y: i64, x: i64| plane[y.clamp(0, height as i64 - 1) as usize * width + x.clamp(0, width as i64 - 1) as usize];
    let (above, left) = ((rows as i64 - 1) / 2, (columns as i64 - 1) / 2);
    (0..height as i64)
        .flat_map(|y| (0..width as i64).map(move |x| (y, x)))
        .map(|(y, x)| {
            (0..rows * columns)
                .map(|tap| {
                    let (i, j) = ((tap / columns) as i64, (tap % columns) as i64);
                    taps[tap] * at(y + i - above, x + j - left)
                })
                .sum()
        })
        .collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn close(got: &Plane, expected: &[f64], what: &str) {
    let largest = expected.iter().fold(1.0_f64, |most, value| most.max(value.abs()));
    for (index, (&a, &b)) in got.values().iter().zip(expected).enumerate() {
        assert!((f64::from(a) - b).abs() <= 1e-5 * largest, "{what} at {index}: {a}, by loops {b}");
    }
}

#[test]
fn known_kernels_are_what_loops_compute() {
    // Taller than a band, and not a multiple of it.
    for (width, height) in [(61, 300), (40, 128), (5, 1), (1, 7), (1, 1)] {
        let plane = Plane::gray(&scene(width, height, 1));
        let pixels = wide(plane.values());
        for (name, taps) in [("sobel-x", SOBEL_X), ("sobel-y", SOBEL_Y), ("laplacian", LAPLACIAN), ("sharpen", SHARPEN)]
        {
            let got = Kernel::named(name, 1.0).unwrap().unwrap().apply(&plane, Cpu::detect()).unwrap();
            close(&got, &by_loops(&pixels, [height, width], &wide(&taps), [3, 3]), name);
        }
        let sigma: f64 = 1.4;
        let square: Vec<f64> = (0..121)
            .map(|i| (((i / 11 - 5) as f64).powi(2) + ((i % 11 - 5) as f64).powi(2)) / (2.0 * sigma * sigma))
            .map(|x| (-x).exp())
            .collect();
        let sum: f64 = square.iter().sum();
        let square: Vec<f64> = square.iter().map(|value| value / sum).collect();
        let got = Kernel::gaussian(sigma).unwrap().apply(&plane, Cpu::detect()).unwrap();
        close(&got, &by_loops(&pixels, [height, width], &square, [11, 11]), "gaussian");
        let even: Vec<f32> = (0..8).map(|i| i as f32 - 2.5).collect();
        let got = Kernel::new(2, 4, even.clone()).unwrap().apply(&plane, Cpu::detect()).unwrap();
        close(&got, &by_loops(&pixels, [height, width], &wide(&even), [2, 4]), "2x4");
    }
}

#[test]
fn filters_as_images() {
    let kernel = |name: &str| Kernel::named(name, 1.0).unwrap().unwrap();
    let signed: Vec<bool> = Kernel::NAMES.iter().map(|name| kernel(name).is_signed()).collect();
    assert_eq!(signed, [true, true, true, false, false]);
    let even = Image::filled(9, 7, &[200, 100, 50]);
    let edges = filtered(&even, &kernel("sobel-x"), Cpu::detect()).unwrap();
    assert_eq!((edges.channels(), edges.pixel(4, 3)), (1, &[128][..]), "there is no slope");
    let sharp = filtered(&even, &kernel("sharpen"), Cpu::detect()).unwrap();
    assert_eq!(sharp.pixels(), even.pixels());
    // A left-to-right step from dark to bright is bright, only along the edge.
    let step = Image::new(6, 1, 1, vec![0, 0, 0, 9, 9, 9]).unwrap();
    let slope = filtered(&step, &kernel("sobel-x"), Cpu::detect()).unwrap();
    assert_eq!(slope.pixels(), [128, 128, 255, 255, 128, 128]);
}

#[test]
fn kernels_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernel.txt");
    let read = |text: &[u8]| {
        std::fs::write(&path, text).unwrap();
        Kernel::read(&path)
    };
    let kernel = read(b"# Prewitt\n1, 0, -1\n\n1;0;-1\r\n1\t0 -1 # last\n").unwrap();
    assert_eq!(kernel, Kernel::new(3, 3, vec![1.0, 0.0, -1.0, 1.0, 0.0, -1.0, 1.0, 0.0, -1.0]).unwrap());
    assert!((read(b"1/9 1/9").unwrap().passes[0].values[0] - 1.0 / 9.0).abs() < 1e-8);
    let wide = vec!["1"; 300].join(" ");
    let tall = vec!["1"; 300].join("\n");
    for (text, expected) in [
        (&b"1 2\n3"[..], "line 2 has 1 numbers, the first row has 2"),
        (b"1 two", "line 1 has \"two\""),
        (b"1 nan", "\"nan\""),
        (b"1e99 1", "\"1e99\""),
        (b"1/0", "\"1/0\""),
        (b"", "no number"),
        (b"# nothing\n", "no number"),
        (b"\x89PNG\r\n\x1a\n", "not a kernel"),
        (wide.as_bytes(), "larger than 255x255"),
        (tall.as_bytes(), "larger than 255x255"),
    ] {
        let message = read(text).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("kernel.txt"), "{message}");
    }
    assert!(matches!(Kernel::read(folder.path().join("none")), Err(Error::Io { .. })));
    assert!(Kernel::new(2, 2, vec![1.0]).is_err() && Kernel::new(0, 0, vec![]).is_err());
    assert!(Kernel::gaussian(0.0).is_err() && Kernel::gaussian(f64::NAN).is_err() && Kernel::gaussian(1e9).is_err());
}

/// A reference implementation of Canny: in double precision, with the four steps as loops, and hysteresis by iteration.
fn canny_by_loops(image: &Image, sigma: f64, low: f64, high: f64) -> Vec<u8> {
    let size @ [height, width] = [image.height(), image.width()];
    let radius = (3.0 * sigma).ceil() as i64;
    let side = (2 * radius + 1) as usize;
    let bell = |i: i64| (-((i - radius) as f64).powi(2) / (2.0 * sigma * sigma)).exp();
    let square: Vec<f64> = (0..(side * side) as i64).map(|i| bell(i / side as i64) * bell(i % side as i64)).collect();
    let sum: f64 = square.iter().sum();
    let square: Vec<f64> = square.iter().map(|value| value / sum).collect();
    let gray = wide(Plane::gray(image).values());
    let smooth = by_loops(&gray, size, &square, [side, side]);
    let x = by_loops(&smooth, size, &wide(&SOBEL_X), [3, 3]);
    let y = by_loops(&smooth, size, &wide(&SOBEL_Y), [3, 3]);
    let slope: Vec<f64> = x.iter().zip(&y).map(|(x, y)| (x * x + y * y).sqrt() / 8.0).collect();
    let steepest = slope.iter().fold(0.0_f64, |most, &value| most.max(value));
    let (low, high) = ((low * steepest).max(0.25), (high * steepest).max(0.25));
    let at = |row: f64, column: f64| {
        let inside = row >= 0.0 && column >= 0.0 && row < height as f64 && column < width as f64;
        if inside { slope[row as usize * width + column as usize] } else { 0.0 }
    };
    // The magnitude one step along the gradient, scaled so that the longer component is one pixel.
    let neighbor = |index: usize, sign: f64| {
        let scale = sign / x[index].abs().max(y[index].abs());
        let (row, column) = ((index / width) as f64 + scale * y[index], (index % width) as f64 + scale * x[index]);
        let (r, c) = (row.floor(), column.floor());
        let (fr, fc) = (row - r, column - c);
        let mut sum = 0.0;
        for (dr, dc, part) in [
            (0.0, 0.0, (1.0 - fr) * (1.0 - fc)),
            (0.0, 1.0, (1.0 - fr) * fc),
            (1.0, 0.0, fr * (1.0 - fc)),
            (1.0, 1.0, fr * fc),
        ] {
            if part > 1e-9 {
                sum += part * at(r + dr, c + dc);
            }
        }
        sum
    };
    let ridge: Vec<bool> = (0..slope.len())
        .map(|i| slope[i] >= low && slope[i] >= neighbor(i, 1.0) && slope[i] > neighbor(i, -1.0))
        .collect();
    let mut edge: Vec<bool> = (0..slope.len()).map(|i| ridge[i] && slope[i] >= high).collect();
    loop {
        let before = edge.clone();
        for i in (0..edge.len()).filter(|&i| ridge[i]) {
            let near = |j: usize| (j / width).abs_diff(i / width) <= 1 && (j % width).abs_diff(i % width) <= 1;
            edge[i] |= (0..edge.len()).any(|j| before[j] && near(j));
        }
        if edge == before {
            return edge.into_iter().map(|edge| if edge { 255 } else { 0 }).collect();
        }
    }
}

#[test]
fn canny_is_what_loops_compute() {
    let image = scene(60, 50, 3);
    for (sigma, low, high) in [(1.0, 0.08, 0.2), (2.0, 0.1, 0.6), (0.7, 0.0, 0.9)] {
        let got = canny(&image, sigma, CannyThresholds { low, high }, Cpu::detect()).unwrap();
        let expected = canny_by_loops(&image, sigma, low, high);
        let edges = expected.iter().filter(|&&value| value > 0).count();
        let differing = got.pixels().iter().zip(&expected).filter(|(a, b)| a != b).count();
        assert!(edges > 50, "{edges}");
        // Magnitudes that are equal within 32-bit rounding may be ordered differently.
        assert!(differing * 200 <= edges, "{differing} of {edges} pixels differ at sigma {sigma}");
    }
}

#[test]
fn canny_finds_a_step_and_nothing_on_even_ground() {
    let step: Vec<u8> = (0..30 * 20).map(|i| if i % 30 < 15 { 30 } else { 220 }).collect();
    let edges = canny(&Image::new(30, 20, 1, step).unwrap(), 1.4, CannyThresholds::default(), Cpu::detect()).unwrap();
    for row in edges.pixels().chunks_exact(30) {
        let lit: Vec<usize> = (0..30).filter(|&x| row[x] == 255).collect();
        assert_eq!(lit.len(), 1, "{lit:?}");
        assert!((14..=15).contains(&lit[0]));
    }
    for even in [Image::filled(40, 30, &[7, 90, 200]), Image::filled(1, 1, &[255])] {
        let edges = canny(&even, 1.4, CannyThresholds::default(), Cpu::detect()).unwrap();
        assert!(edges.pixels().iter().all(|&value| value == 0));
    }
    let refused = |low, high| canny(&scene(9, 9, 1), 1.0, CannyThresholds { low, high }, Cpu::detect()).is_err();
    assert!(refused(0.5, 0.2) && refused(-0.1, 0.2) && refused(0.1, 1.1) && refused(f64::NAN, 0.5));
    assert!(canny(&scene(9, 9, 1), 0.0, CannyThresholds::default(), Cpu::detect()).is_err());
}

#[test]
fn ridges_and_hysteresis() {
    // A ridge with gradients to the right; the pixel above it is weaker, but connected to it.
    let magnitudes = [0.0, 3.0, 1.0, 1.0, 5.0, 2.0, 0.0, 0.5, 0.0];
    let across = [1.0; 9];
    let down = [0.0; 9];
    let found = ridges(&magnitudes, &across, &down, [3, 3], 1.0);
    assert_eq!(found, [false, true, false, false, true, false, false, false, false]);
    assert_eq!(connected(&magnitudes, found.clone(), [3, 3], 4.0), [0, 255, 0, 0, 255, 0, 0, 0, 0]);
    assert_eq!(connected(&magnitudes, found, [3, 3], 6.0), [0; 9]);
}
