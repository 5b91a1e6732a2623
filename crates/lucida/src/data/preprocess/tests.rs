use super::*;
use crate::nn::applications::{self, Architecture, Publisher};

fn presets() -> [Preprocessing; 5] {
    [
        Preprocessing::mnist(),
        Preprocessing::vgg(),
        Preprocessing::inception(299),
        Preprocessing::torchvision(224),
        Preprocessing::unit(5, 7, ColorMode::Grayscale),
    ]
}

/// The preprocessed values of one pixel, independent of the size.
fn pixel(preprocessing: &Preprocessing, rgb: [u8; 3]) -> Vec<f32> {
    let preprocessing = preprocessing.clone().with_size(1, 1);
    let mut out = vec![f32::NAN; preprocessing.color.channels()];
    preprocessing.apply(&Image::filled(1, 1, &rgb), &mut out).unwrap();
    out
}

#[test]
fn each_preset_computes_what_its_networks_were_trained_with() {
    let rgb = [10, 100, 250];
    let unit = Preprocessing::unit(1, 1, ColorMode::Rgb);
    assert_eq!(pixel(&unit, rgb), [10.0 / 255.0, 100.0 / 255.0, 250.0 / 255.0]);
    assert_eq!(pixel(&Preprocessing::vgg(), rgb), [250.0 - 103.939, 100.0 - 116.779, 10.0 - 123.68]);
    assert_eq!(pixel(&Preprocessing::inception(8), [0, 255, 51]), [-1.0, 1.0, 51.0 / 127.5 - 1.0]);
    // Python, torchvision's constants: (10/255 - 0.485)/0.229, (100/255 - 0.456)/0.224, (250/255 - 0.406)/0.225
    let expected = [-1.946_656_4, -0.285_014, 2.552_854];
    for (got, expected) in pixel(&Preprocessing::torchvision(8), rgb).iter().zip(expected) {
        assert!((got - expected).abs() < 1e-5, "{got} {expected}");
    }
    assert_eq!(Preprocessing::vgg().output_shape(), [224, 224, 3]);
    assert_eq!(Preprocessing::mnist().output_shape(), [28, 28, 1]);
}

/// The reference lines were written by `tests/preprocessing/record.py`.
#[test]
fn known_networks_are_given_what_keras_and_torchvision_give_them() {
    let lines = include_str!("../../../tests/preprocessing/networks.tsv").lines();
    let mut names = Vec::new();
    for line in lines {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, _, side, fit, filter, values @ ..] = columns.as_slice() else { panic!("{line}") };
        let known = applications::find(name).unwrap();
        if let Ok(side) = side.parse() {
            assert_eq!(known.input, [side, side, 3], "{name}");
        }
        let preprocessing = known.preprocessing(known.input).unwrap();
        let expected = (
            if *fit == "crop" { Fit::Crop } else { Fit::Stretch },
            if *filter == "bicubic" { Filter::Bicubic } else { Filter::Bilinear },
        );
        assert_eq!((preprocessing.fit, preprocessing.filter), expected, "{name}");
        for (got, expected) in pixel(&preprocessing, [10, 100, 250]).iter().zip(values) {
            let expected: f32 = expected.parse().unwrap();
            assert!((got - expected).abs() < 1e-4, "{name}: {got} {expected}");
        }
        names.push(*name);
    }
    let published = |known: &&Architecture| matches!(known.publisher, Publisher::Keras | Publisher::Torchvision);
    let missing: Vec<_> = applications::ALL
        .iter()
        .filter(published)
        .map(|known| known.name)
        .filter(|name| !names.contains(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn color_and_size_are_adapted() {
    let gray = Preprocessing::unit(2, 2, ColorMode::Grayscale);
    let mut out = [0.0; 4];
    gray.apply(&Image::filled(9, 5, &[255, 0, 0]), &mut out).unwrap();
    assert_eq!(out, [76.0 / 255.0; 4]);
    let mut out = [0.0; 12];
    Preprocessing::unit(2, 2, ColorMode::Bgr).apply(&Image::filled(2, 2, &[51]), &mut out).unwrap();
    assert_eq!(out, [0.2; 12]);
    let error = gray.apply(&Image::filled(2, 2, &[1]), &mut out).unwrap_err();
    assert_eq!(error.to_string(), "the output has 12 values, expected 4 (2 x 2 x 1)");
    assert!(gray.apply(&Image::new(0, 0, 1, vec![]).unwrap(), &mut out[..4]).is_err());
}

#[test]
fn the_input_can_be_shown_again() {
    let pixels: Vec<u8> = (0..4 * 6 * 3).map(|i| (i * 89 % 256) as u8).collect();
    let image = Image::new(6, 4, 3, pixels).unwrap();
    for preprocessing in presets() {
        let preprocessing = Preprocessing { digit: false, ..preprocessing }.with_size(4, 6);
        let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
        preprocessing.apply(&image, &mut input).unwrap();
        let expected = if preprocessing.color == ColorMode::Grayscale { image.to_gray() } else { image.clone() };
        assert_eq!(preprocessing.to_image(&input).unwrap(), expected, "{preprocessing:?}");
    }
    let unit = Preprocessing::unit(1, 4, ColorMode::Grayscale);
    assert_eq!(unit.to_image(&[-3.0, 7.0, f32::NAN, f32::INFINITY]).unwrap().pixels(), [0, 255, 0, 255]);
    assert!(unit.to_image(&[0.0; 3]).is_err());
}

#[test]
fn it_is_the_same_after_a_stay_in_a_file() {
    for preprocessing in presets() {
        let json = serde_json::to_string(&preprocessing).unwrap();
        let back: Preprocessing = serde_json::from_str(&json).unwrap();
        assert_eq!(back, preprocessing);
        back.check().unwrap();
    }
    let json = serde_json::to_string(&Preprocessing::mnist()).unwrap();
    assert_eq!(
        json,
        r#"{"height":28,"width":28,"colour":"grayscale","divisor":255.0,"mean":[0.0],"std":[1.0],"fit":"stretch","filter":"bilinear","digit":true}"#
    );
    // A step unknown to this version must not be silently ignored.
    assert!(serde_json::from_str::<Preprocessing>(&json.replace("digit", "equalise")).is_err());
}

#[test]
fn a_malicious_file_is_refused() {
    let good = Preprocessing::vgg;
    let bad = [
        ("the height is 0", good().with_size(0, 5)),
        ("the width is 8193", good().with_size(5, 8193)),
        ("the height is 18446744073709551615", good().with_size(usize::MAX, usize::MAX)),
        ("mean has 1 values for 3 channels", Preprocessing { mean: vec![0.0], ..good() }),
        ("std has 0 values", Preprocessing { std: vec![], ..good() }),
        ("mean holds NaN", Preprocessing { mean: vec![0.0, f32::NAN, 0.0], ..good() }),
        ("std holds inf", Preprocessing { std: vec![1.0, 1.0, f32::INFINITY], ..good() }),
        ("cannot divide by 0", Preprocessing { std: vec![1.0, 0.0, 1.0], ..good() }),
        ("cannot divide by 0", Preprocessing { divisor: 0.0, ..good() }),
        ("cannot divide by NaN", Preprocessing { divisor: f32::NAN, ..good() }),
    ];
    for (problem, preprocessing) in bad {
        let message = preprocessing.check().unwrap_err().to_string();
        assert!(message.contains(problem), "{message}");
        assert!(preprocessing.apply(&Image::filled(2, 2, &[0]), &mut []).is_err());
        assert!(preprocessing.to_image(&[]).is_err());
    }
}

#[test]
fn gray_networks_take_what_has_no_constants_for_each_color() {
    let gray = Preprocessing::inception(8).with_channels(1).unwrap();
    assert_eq!((gray.output_shape(), gray.mean.as_slice(), gray.divisor), ([8, 8, 1], &[1.0][..], 127.5));
    gray.check().unwrap();
    assert_eq!(gray.with_channels(3).unwrap(), Preprocessing::inception(8));
    assert_eq!(Preprocessing::vgg().with_channels(3).unwrap(), Preprocessing::vgg());
    assert!(Preprocessing::vgg().with_channels(1).unwrap_err().to_string().contains("use unit"));
    assert!(Preprocessing::torchvision(8).with_channels(1).is_err());
    for channels in [0, 2, 4, 7] {
        let message = Preprocessing::mnist().with_channels(channels).unwrap_err().to_string();
        assert!(message.contains(&format!("inputs of {channels} channels")), "{message}");
    }
}
