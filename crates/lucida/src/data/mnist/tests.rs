use std::fs;

use super::*;
use crate::data::{Dataset, Preprocessing};

/// The published set, next to the workspace; `None`, with a message, if it is missing.
fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mnist");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: there is no {}", folder.display());
    None
}

fn first_labels(set: &LabeledImages) -> Vec<usize> {
    (0..10).map(|index| set.label(index)).collect()
}

/// Writes a small set of black images with the given labels.
fn write(folder: &Path, images: &str, labels: &str, side: u32, count: u32, digits: &[u8]) {
    let mut bytes = vec![0, 0, 8, 3];
    bytes.extend([count, side, side].iter().flat_map(|size| size.to_be_bytes()));
    bytes.resize(bytes.len() + (count * side * side) as usize, 0);
    fs::write(folder.join(images), bytes).unwrap();
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend((digits.len() as u32).to_be_bytes());
    bytes.extend(digits);
    fs::write(folder.join(labels), bytes).unwrap();
}

#[test]
fn the_builtin_digits_are_the_first_of_the_training_part() {
    let mnist = Mnist::builtin().unwrap();
    assert_eq!(mnist.train.len(), 10_000);
    assert_eq!(mnist.test, None);
    assert_eq!(mnist.train.image_shape(), Some([28, 28, 1]));
    assert_eq!(mnist.train.class_names(), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(first_labels(&mnist.train), [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    if let Some(folder) = shared() {
        let whole = Mnist::train_only(&folder).unwrap();
        for index in 0..10_000 {
            assert_eq!(whole.pixels(index), mnist.train.pixels(index));
            assert_eq!(whole.label(index), mnist.train.label(index));
        }
    }
}

#[test]
fn the_published_set_is_read() {
    let Some(folder) = shared() else { return };
    let mnist = Mnist::from_folder(&folder).unwrap();
    let test = mnist.test.unwrap();
    assert_eq!((mnist.train.len(), test.len()), (60_000, 10_000));
    assert_eq!(first_labels(&mnist.train), [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    assert_eq!(first_labels(&test), [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
    // The published counts of each digit in the test set.
    let labels = test.labels();
    let counts: Vec<usize> = (0..10).map(|digit| labels.iter().filter(|&&label| label == digit).count()).collect();
    assert_eq!(counts, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    assert_eq!(Mnist::test_only(&folder).unwrap(), test);
    // The well-known mean and standard deviation of the training pixels: 0.1307 and 0.3081.
    let mut image = vec![0.0; 784];
    let (mut sum, mut squares) = (0.0, 0.0);
    for index in 0..mnist.train.len() {
        mnist.train.fill(index, &Preprocessing::mnist(), &mut image).unwrap();
        for &value in &image {
            sum += f64::from(value);
            squares += f64::from(value * value);
        }
    }
    let count = 784.0 * 60_000.0;
    let mean = sum / count;
    assert!((mean - 0.1307).abs() < 5e-5, "{mean}");
    let deviation = (squares / count - mean * mean).sqrt();
    assert!((deviation - 0.3081).abs() < 5e-5, "{deviation}");
}

#[test]
fn files_are_found_under_each_usual_name() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "train-images.idx3-ubyte", "train-labels-idx1-ubyte", 28, 2, &[3, 9]);
    let train = Mnist::train_only(folder.path()).unwrap();
    assert_eq!((train.len(), train.label(1)), (2, 9));
    assert_eq!(Mnist::from_folder(folder.path()).unwrap(), Mnist { train: train.clone(), test: None });
    write(folder.path(), "t10k-images-idx3-ubyte.gz", "t10k-labels.idx1-ubyte.gz", 28, 1, &[4]);
    assert_eq!(Mnist::test_only(folder.path()).unwrap().len(), 1);
    assert_eq!(Mnist::from_folder(folder.path()).unwrap().train, train);
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| Mnist::from_folder(path).unwrap_err().to_string();
    assert!(message(&folder.path().join("none")).contains("none: no such folder"));
    write(folder.path(), "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 28, 1, &[4]);
    let lacking = message(folder.path());
    assert!(
        lacking.ends_with(": missing train-labels-idx1-ubyte, t10k-images-idx3-ubyte (each plain or as .gz)"),
        "{lacking}"
    );
    write(folder.path(), "train-images-idx3-ubyte", "train-labels-idx1-ubyte", 28, 1, &[4]);
    let lacking = message(folder.path());
    assert!(lacking.ends_with(": missing t10k-images-idx3-ubyte (each plain or as .gz)"), "{lacking}");
    let empty = message(tempfile::tempdir().unwrap().path());
    assert_eq!(empty.matches("idx").count(), 4, "{empty}");
    let file = folder.path().join("t10k-labels-idx1-ubyte");
    assert!(message(&file).contains("not a folder"));
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (images, labels) = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte");
    let message = || {
        let message = Mnist::train_only(folder.path()).unwrap_err().to_string();
        assert!(!message.contains('\n'));
        message
    };
    write(folder.path(), images, labels, 28, 3, &[1, 2]);
    assert!(message().contains("train-labels-idx1-ubyte: has 2 labels, but "), "{}", message());
    assert!(message().ends_with("train-images-idx3-ubyte has 3 images"), "{}", message());
    write(folder.path(), images, labels, 28, 2, &[1, 10]);
    assert!(message().ends_with("train-labels-idx1-ubyte: label 1 is 10, but digits are 0 to 9"), "{}", message());
    write(folder.path(), images, labels, 32, 2, &[1, 2]);
    assert!(message().ends_with("is mislabeled: its images are 32x32, MNIST's are 28x28"), "{}", message());
    write(folder.path(), labels, images, 28, 2, &[1, 2]);
    assert!(message().contains("train-labels-idx1-ubyte: is mislabeled: it holds images"), "{}", message());
}

#[test]
fn an_empty_set_is_a_set() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "train-images-idx3-ubyte", "train-labels-idx1-ubyte", 28, 0, &[]);
    assert!(Mnist::train_only(folder.path()).unwrap().is_empty());
}
