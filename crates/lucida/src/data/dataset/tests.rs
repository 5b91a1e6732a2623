use super::*;
use crate::data::{ColorMode, Filter, Fit};

/// Three images of 2x2, with consecutive pixel values.
fn small() -> LabeledImages {
    let names = ["cat", "dog"].map(String::from).to_vec();
    LabeledImages::new([2, 2, 1], (0..12).collect(), vec![1, 0, 1], names).unwrap()
}

#[test]
fn images_must_agree_with_their_labels() {
    let message = |shape, bytes: usize, labels: Vec<usize>| {
        LabeledImages::new(shape, vec![0; bytes], labels, vec!["cat".into()]).unwrap_err().to_string()
    };
    assert!(message([2, 2, 1], 7, vec![0, 0]).contains("7 bytes are not the 2 images of shape [2, 2, 1]"));
    assert_eq!(message([1, 1, 1], 2, vec![0, 1]), "image 1 has the label 1, but the set has 1 class");
    assert!(message([2, 2, 4], 16, vec![0]).contains("[2, 2, 4]"));
    assert!(message([0, 2, 1], 0, vec![0]).contains("[0, 2, 1]"));
    assert!(message([usize::MAX, 2, 1], 0, vec![]).contains("cannot have the shape"));
}

#[test]
fn a_batch_is_filled_in_the_order_asked_for() {
    let set = small();
    let preprocessing = Preprocessing { divisor: 1.0, ..Preprocessing::unit(2, 2, ColorMode::Grayscale) };
    let (mut images, mut labels) = (vec![-1.0; 8], vec![9; 2]);
    set.fill_batch(&[2, 1], &preprocessing, &mut images, &mut labels).unwrap();
    assert_eq!(images, [8.0, 9.0, 10.0, 11.0, 4.0, 5.0, 6.0, 7.0]);
    assert_eq!(labels, [1, 0]);
    let error = set.fill_batch(&[2, 1], &preprocessing, &mut images[..7], &mut labels).unwrap_err();
    assert_eq!(error.to_string(), "a batch of 2 images with 4 values each does not fit 7 values and 2 labels");
    set.fill_batch(&[], &preprocessing, &mut [], &mut []).unwrap();
}

#[test]
fn the_short_way_and_the_long_way_give_the_same() {
    let colors: Vec<u8> = (0..2 * 3 * 4 * 3).map(|i| (i * 37 % 256) as u8).collect();
    let set = LabeledImages::new([4, 3, 3], colors, vec![0, 0], vec!["x".into()]).unwrap();
    for color in [ColorMode::Grayscale, ColorMode::Rgb, ColorMode::Bgr] {
        for (height, width) in [(4, 3), (8, 8)] {
            let preprocessing = Preprocessing::unit(height, width, color).with_fit(Fit::Pad, Filter::Bicubic);
            let len = preprocessing.output_shape().iter().product();
            let (mut short, mut long) = (vec![0.0; len], vec![1.0; len]);
            set.fill(1, &preprocessing, &mut short).unwrap();
            preprocessing.apply(&set.image(1).unwrap(), &mut long).unwrap();
            assert_eq!(short, long);
        }
    }
}

#[test]
fn a_digit_with_a_bright_border_is_inverted_either_way() {
    let mut pixels = vec![255; 784];
    pixels[14 * 28 + 14] = 10;
    let set = LabeledImages::new([28, 28, 1], pixels, vec![0], vec!["x".into()]).unwrap();
    let (mut short, mut long) = (vec![0.0; 784], vec![1.0; 784]);
    set.fill(0, &Preprocessing::mnist(), &mut short).unwrap();
    Preprocessing::mnist().apply(&set.image(0).unwrap(), &mut long).unwrap();
    assert_eq!(short, long);
    assert_eq!((short[0], short[14 * 28 + 14]), (0.0, 245.0 / 255.0));
}

#[test]
fn a_subset_has_its_own_order() {
    let set = small();
    let subset = Subset::new(&set, vec![2, 0, 2]).unwrap();
    assert_eq!((subset.len(), subset.labels()), (3, vec![1, 1, 1]));
    assert_eq!(subset.image(0).unwrap(), set.image(2).unwrap());
    assert_eq!(subset.class_names(), set.class_names());
    let preprocessing = Preprocessing::unit(2, 2, ColorMode::Grayscale);
    let (mut images, mut labels) = (vec![0.0; 8], vec![0; 2]);
    subset.fill_batch(&[1, 2], &preprocessing, &mut images, &mut labels).unwrap();
    assert_eq!(images[..4], [0.0, 1.0 / 255.0, 2.0 / 255.0, 3.0 / 255.0]);
    assert_eq!(images[7], 11.0 / 255.0);
    // A subset of a subset, and of a trait object.
    let any: &dyn Dataset = &subset;
    assert_eq!(Subset::new(any, vec![1]).unwrap().image(0).unwrap(), set.image(0).unwrap());
    assert_eq!(Subset::new(any, vec![3]).err().unwrap().to_string(), "there is no image 3: the set has 3 images");
}
