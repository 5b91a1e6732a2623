use super::*;
use crate::core::{Purpose, Rng};
use crate::data::{ColorMode, Dataset, Image, LabeledImages, Loader, Preprocessing};

fn draws() -> Rng {
    Rng::keyed(7, Purpose::Augment, 1)
}

fn parse(text: &str) -> Augment {
    text.parse().unwrap_or_else(|problem| panic!("{text}: {problem}"))
}

/// Six color images of 6x8.
fn images() -> LabeledImages {
    let pixels = (0..6 * 6 * 8 * 3).map(|i: usize| (i * i * 31 % 251) as u8).collect();
    LabeledImages::new([6, 8, 3], pixels, vec![0, 1, 2, 0, 1, 2], ["a", "b", "c"].map(String::from).to_vec()).unwrap()
}

#[test]
fn a_text_says_what_to_do() {
    let augment = parse("width=0.2,height=0.2,shear=0.2,zoom=0.2,flip");
    let expected = Augment {
        width_shift: 0.2,
        height_shift: 0.2,
        shear: 0.2,
        zoom: [0.8, 1.2],
        horizontal_flip: true,
        ..Augment::default()
    };
    assert_eq!(augment, expected);
    let all = "rotation=15,channel=20,cval=9,crop=0.5,jitter=0.4,hue=0.1,cutout=0.25,mixup=0.2,cutmix=1,zoom=0.7:1.3,\
               brightness=0.5:1.5,flip,vflip,auto,fill=wrap";
    assert_eq!(parse(all).to_string(), all);
    assert_eq!(parse("auto"), Augment { auto: true, ..Augment::default() });
    assert_eq!(Augment::default().to_string(), "none");
    assert!(Augment::default().is_none() && parse("fill=wrap").is_none() && !augment.is_none());
    for (text, problem) in [
        ("", "nothing is said"),
        ("spin=3", "unknown augmentation \"spin\"; expected one of rotation, width"),
        ("width", "expected as in width=0.2"),
        ("width=far", "\"width=far\" cannot be used"),
        ("width=nan", "\"width=nan\" cannot be used"),
        ("flip=1", "expected flip alone"),
        ("flip,flip", "flip is there twice"),
        ("zoom=1.2:0.8", "zoom goes from 1.2 down to 0.8"),
        ("zoom=1", "zoom is 0, it must be 0.01 to 100"),
        ("rotation=-5", "rotation is -5"),
        ("fill=blue", "fill=nearest, reflect, constant or wrap"),
        ("crop=0", "crop is 0"),
    ] {
        let error = text.parse::<Augment>().unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
    let stored = serde_json::to_string(&parse(all)).unwrap();
    assert_eq!(serde_json::from_str::<Augment>(&stored).unwrap(), parse(all));
}

/// Shifts a line of four pixels in each fill mode.
#[test]
fn four_ways_to_fill() {
    let shifted = |by: f64, fill| {
        let map = Affine::new(0.0, [by, 0.0], 0.0, [1.0; 2]);
        map.apply(&[10.0, 20.0, 30.0, 40.0], [1, 4, 1], fill, 7.0)
    };
    assert_eq!(shifted(1.0, FillMode::Nearest), [20.0, 30.0, 40.0, 40.0]);
    assert_eq!(shifted(3.0, FillMode::Reflect), [40.0, 40.0, 30.0, 20.0]);
    assert_eq!(shifted(-3.0, FillMode::Reflect), [30.0, 20.0, 10.0, 10.0]);
    assert_eq!(shifted(2.0, FillMode::Constant), [30.0, 40.0, 7.0, 7.0]);
    // SciPy places the last pixel on the first.
    assert_eq!(shifted(2.0, FillMode::Wrap), [30.0, 40.0, 20.0, 30.0]);
    assert_eq!(shifted(0.5, FillMode::Nearest), [15.0, 25.0, 35.0, 40.0]);
    for fill in [FillMode::Nearest, FillMode::Reflect, FillMode::Constant, FillMode::Wrap] {
        for by in [-1e9, -100.5, 99.25, 1e9] {
            assert!(shifted(by, fill).iter().all(|v| (7.0..=40.0).contains(v)));
            let one = Affine::new(0.0, [by, by], 0.0, [1.0; 2]).apply(&[3.0], [1, 1, 1], fill, 3.0);
            assert_eq!(one, [3.0]);
        }
    }
}

#[test]
fn a_part_is_seen_at_the_size_of_the_whole() {
    let values: Vec<f32> = (0..16).map(|i| i as f32).collect();
    // The lower right quarter; beyond half a pixel from the center of the last one, it is filled.
    let part = Affine::part([1.0, 1.0], [0.5, 0.5]).apply(&values, [4, 4, 1], FillMode::Nearest, 0.0);
    assert_eq!((part[0], part[3], part[15]), (8.75, 10.0, 15.0));
    // A rotation by 90° and back.
    let turn = |degrees| Affine::new(degrees, [0.0; 2], 0.0, [1.0; 2]);
    let turned = turn(90.0).apply(&values, [4, 4, 1], FillMode::Nearest, 0.0);
    let column: Vec<f32> = turned.iter().step_by(4).map(|value| value.round()).collect();
    assert_eq!(column, [3.0, 2.0, 1.0, 0.0]);
    let same = turn(-90.0).of(&turn(90.0)).apply(&values, [4, 4, 1], FillMode::Nearest, 0.0);
    assert!(same.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-4), "{same:?}");
}

#[test]
fn colors() {
    let mut values = vec![10.0, 100.0, 200.0, 250.0];
    color::shift(&mut values, 60.0);
    assert_eq!(values, [70.0, 160.0, 250.0, 250.0]);
    color::brighten(&mut values, 2.0);
    assert_eq!(values, [140.0, 255.0, 255.0, 255.0]);
    let turned = |by: f32| {
        let mut red = vec![200.0, 50.0, 50.0];
        color::turn_hue(&mut red, 3, by);
        red
    };
    assert_eq!(turned(0.0), [200.0, 50.0, 50.0]);
    for (by, expected) in
        [(1.0 / 3.0, [50.0, 200.0, 50.0]), (-1.0 / 3.0, [50.0, 50.0, 200.0]), (0.5, [50.0, 200.0, 200.0])]
    {
        assert!(turned(by).iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.01), "{by}: {:?}", turned(by));
    }
    let mut gray = vec![30.0, 90.0];
    color::contrast(&mut gray, 1, 0.5);
    assert_eq!(gray, [45.0, 75.0]);
    color::posterize(&mut gray, 3);
    assert_eq!(gray, [32.0, 64.0]);
    color::solarize(&mut gray, 64.0);
    assert_eq!(gray, [32.0, 191.0]);
    color::stretch(&mut gray, 1);
    assert_eq!(gray, [0.0, 255.0]);
    let mut ramp: Vec<f32> = (0..2560).map(|i| 100.0 + (i / 512) as f32).collect();
    color::equalize(&mut ramp, 1);
    let levels: Vec<f32> = ramp.iter().step_by(512).copied().collect();
    assert!(levels.windows(2).all(|pair| pair[1] - pair[0] > 50.0), "{levels:?}");
    let mut flat = vec![5.0; 27];
    color::sharpen(&mut flat, [3, 3, 3], 1.9);
    color::equalize(&mut flat, 3);
    color::stretch(&mut flat, 3);
    assert!(flat.iter().all(|value| (value - 5.0).abs() < 1e-4));
}

/// Random values cover their ranges, and each option has its documented effect.
#[test]
fn values_are_drawn_from_the_ranges() {
    let values: Vec<f32> = (0..48).map(|i| i as f32).collect();
    let mut rng = draws();
    let flips = (0..400).filter(|_| parse("flip").image(values.clone(), [4, 4, 3], &mut rng) != values).count();
    assert!((150..250).contains(&flips), "{flips}");
    let flipped = (0..99).map(|_| parse("flip").image(values.clone(), [4, 4, 3], &mut rng));
    let flipped = flipped.into_iter().find(|flipped| *flipped != values).unwrap();
    assert_eq!(flipped[..12], [9.0, 10.0, 11.0, 6.0, 7.0, 8.0, 3.0, 4.0, 5.0, 0.0, 1.0, 2.0]);
    let turned = (0..99).map(|_| parse("vflip").image(values.clone(), [4, 4, 3], &mut rng));
    let turned = turned.into_iter().find(|turned| *turned != values).unwrap();
    assert_eq!((turned[..12].to_vec(), turned[36..].to_vec()), (values[36..].to_vec(), values[..12].to_vec()));

    // A horizontal shift leaves rows of equal values unchanged.
    let rows: Vec<f32> = (0..100).map(|i| (i / 10) as f32).collect();
    let mut most = 0.0_f32;
    for _ in 0..50 {
        assert_eq!(parse("width=0.3").image(rows.clone(), [10, 10, 1], &mut rng), rows);
        let moved = parse("height=0.3").image(rows.clone(), [10, 10, 1], &mut rng);
        most = most.max((moved[50] - 5.0).abs());
        assert!((moved[50] - 5.0).abs() <= 3.0 + 1e-4);
    }
    assert!(most > 2.0, "{most}");
    for _ in 0..50 {
        let crop = parse("crop=0.25").image(rows.clone(), [10, 10, 1], &mut rng);
        // Each row is constant, successive rows differ by the same step, and at least three eighths of the height is
        // visible.
        assert!(crop.chunks(10).all(|line| line.iter().all(|value| (value - line[0]).abs() < 1e-4)), "{crop:?}");
        let steps: Vec<f32> = (1..8).map(|row| crop[row * 10 + 10] - crop[row * 10]).collect();
        assert!(steps.iter().all(|step| (0.37..=1.001).contains(step) || *step < 1e-4), "{steps:?}");
    }
}

#[test]
fn shares_of_mixed_images_are_drawn_from_the_beta_distribution() {
    for alpha in [0.2, 1.0, 4.0] {
        let mut rng = draws();
        let drawn: Vec<f64> = (0..4000).map(|_| mix::beta(alpha, &mut rng)).collect();
        let mean = drawn.iter().sum::<f64>() / 4000.0;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4000.0;
        // Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2a + 1)).
        assert!((mean - 0.5).abs() < 0.03, "{alpha}: {mean}");
        assert!((variance * 4.0 * (2.0 * alpha + 1.0) - 1.0).abs() < 0.1, "{alpha}: {variance}");
    }
}

#[test]
fn mixed_images_say_what_is_in_them() {
    let set = images();
    let preprocessing = Preprocessing { divisor: 1.0, ..Preprocessing::unit(6, 8, ColorMode::Rgb) };
    for text in ["mixup=1", "cutmix=1", "mixup=1,cutmix=1"] {
        let augmented = Augmented::new(&set, parse(text), 5).unwrap();
        let mut out = vec![0.0; 6 * 8 * 3];
        let mut shares = Vec::new();
        for epoch in 0..40 {
            let mixed = augmented.fill_training(epoch, 3, &preprocessing, &mut out).unwrap().unwrap();
            shares.push(mixed.share);
            let own = set.image(3).unwrap();
            // One image of that class must explain every value with the same share.
            let explained = (0..6).filter(|&index| set.label(index) == mixed.label).any(|index| {
                let other = set.image(index).unwrap();
                let pairs = || out.iter().zip(own.pixels().iter().zip(other.pixels()));
                let laid_over = pairs().all(|(value, (&a, &b))| {
                    (value - (f32::from(a) * (1.0 - mixed.share) + f32::from(b) * mixed.share)).abs() < 1e-2
                });
                let replaced = pairs().all(|(value, (&a, &b))| *value == f32::from(a) || *value == f32::from(b));
                laid_over || replaced
            });
            assert!(explained, "{text} in epoch {epoch}");
        }
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        assert!(shares.iter().any(|&share| share > 0.6) && shares.iter().any(|&share| share < 0.4), "{shares:?}");
    }
    let cut = Augmented::new(&set, parse("cutout=0.5"), 5).unwrap();
    let changed: Vec<usize> = (0..20)
        .map(|epoch| {
            let (image, mixed) = cut.example(epoch, 0, &preprocessing).unwrap();
            assert_eq!(mixed, None);
            image.pixels().chunks(3).zip(set.image(0).unwrap().pixels().chunks(3)).filter(|(a, b)| a != b).count()
        })
        .collect();
    assert!(changed.iter().all(|&count| count <= 9) && changed.contains(&9), "{changed:?}");
}

#[test]
fn the_seed_the_epoch_and_the_number_alone_decide() {
    let set = images();
    let preprocessing = Preprocessing::vgg().with_size(6, 8);
    let augment = parse("rotation=20,width=0.2,zoom=0.2,shear=5,flip,jitter=0.3,hue=0.1,cutout=0.2,mixup=0.4,auto");
    let order: Vec<usize> = (0..6).rev().collect();
    let epoch = |seed: u64, epoch: u32, threads: usize| {
        let augmented = Augmented::new(&set, augment.clone(), seed).unwrap();
        assert!(augmented.is_slow());
        let mut all = Vec::new();
        let loader = Loader::new(&augmented, &preprocessing).training(epoch).threads(threads);
        loader
            .each(&order, 4, |batch| {
                all.extend(batch.images.iter().map(|value| value.to_bits()));
                all.extend(batch.mixed.iter().map(|mixed| mixed.as_ref().unwrap().share.to_bits()));
                Ok(true)
            })
            .unwrap();
        all
    };
    let first = epoch(1, 1, 1);
    assert_eq!(first, epoch(1, 1, 3));
    assert_ne!(first, epoch(1, 2, 1));
    assert_ne!(first, epoch(2, 1, 1));

    // For validation they are unchanged, and so they are in training without augmentation.
    let len = 6 * 8 * 3;
    let (mut plain, mut other) = (vec![0.0; len], vec![1.0; len]);
    set.fill(2, &preprocessing, &mut plain).unwrap();
    Augmented::new(&set, augment, 1).unwrap().fill(2, &preprocessing, &mut other).unwrap();
    assert_eq!(plain, other);
    Augmented::new(&set, Augment::default(), 1).unwrap().fill_training(1, 2, &preprocessing, &mut other).unwrap();
    assert_eq!(plain, other);
    // Converting floats gives the same numbers as converting bytes.
    let still = parse("brightness=1:1.0000001");
    Augmented::new(&set, still, 1).unwrap().fill_training(1, 2, &preprocessing, &mut other).unwrap();
    assert!(plain.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-3), "{plain:?} {other:?}");
}

/// All operations at any size: nothing panics, and the values remain finite.
#[test]
fn everything_at_once_on_images_of_any_size() {
    let augment = parse(
        "rotation=180,width=0.5,height=3,shear=40,zoom=0.5:2,channel=50,flip,vflip,brightness=0.5,crop=0.1,\
                         jitter=0.9,hue=0.5,cutout=1,mixup=0.1,cutmix=2,auto,fill=reflect",
    );
    for (height, width) in [(1, 1), (1, 5), (2, 2), (7, 3)] {
        for channels in [1, 3] {
            let pixels = Image::filled(width, height, &[0, 130, 255][..channels]).pixels().repeat(2);
            let set = LabeledImages::new([height, width, channels], pixels, vec![0, 0], vec!["x".into()]).unwrap();
            let color = if channels == 1 { ColorMode::Grayscale } else { ColorMode::Rgb };
            let preprocessing = Preprocessing::unit(height, width, color);
            let augmented = Augmented::new(&set, augment.clone(), 3).unwrap();
            for epoch in 0..200 {
                let mut out = vec![0.0; height * width * channels];
                augmented.fill_training(epoch, 1, &preprocessing, &mut out).unwrap();
                assert!(out.iter().all(|value| (-0.001..=1.001).contains(value)), "{out:?}");
            }
        }
    }
}
