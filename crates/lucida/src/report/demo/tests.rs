use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::*;
use crate::core::{Detail, Step};
use crate::train::Callback;

/// Few digits and one epoch, so that the test is fast in debug builds.
fn small() -> Demo {
    let mut demo = Demo::new(42).unwrap();
    demo.parts.train.truncate(256);
    demo.parts.validation.truncate(32);
    demo.parts.held_out.truncate(64);
    demo
}

#[test]
fn the_parts_are_disjoint_and_complete() {
    let demo = Demo::new(42).unwrap();
    let Parts { train, validation, held_out } = demo.parts();
    assert_eq!([train.len(), validation.len(), held_out.len()], [7200, 800, 2000]);
    let all: BTreeSet<usize> = [train, validation, held_out].into_iter().flatten().copied().collect();
    assert_eq!(all.len(), 10_000);
    for part in [train, validation, held_out] {
        let ones = part.iter().filter(|&&index| demo.digits.label(index) == 1).count();
        let share = ones as f64 / part.len() as f64;
        assert!((share - 0.1127).abs() < 0.001, "{share}");
    }
    assert_eq!(Demo::new(42).unwrap().parts(), demo.parts());
    assert_ne!(Demo::new(43).unwrap().parts(), demo.parts());
}

#[test]
fn a_demonstration_writes_its_files() {
    let demo = small();
    let config = TrainConfig { epochs: 1, batch_size: 32, ..demo.config(42, Cpu::detect()) };
    let result = demo.run(&config, ()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let depth = Depth {
        class_steps: 2,
        filter_steps: 2,
        photo_steps: 1,
        photo_height: 64,
        painting_size: 64,
        painting_steps: 1,
    };
    result.save(folder.path(), &depth).unwrap();
    let mut written: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    written.sort();
    let mut expected = Demo::FILES.map(str::to_owned);
    expected.sort();
    assert_eq!(written, expected);

    let page = std::fs::read_to_string(folder.path().join("index.html")).unwrap();
    // Ten predictions, 24 kernels, and the mistakes of 64 digits, at most 20 of which are shown; then ten classes, 60
    // filters, one sheet of feature maps, two of explanations (one if there are no mistakes), one figure, one of the cat
    // explained, two of the cat in VGG16 and its filters, three of the stylized image.
    let images = page.matches("<img").count();
    let wrong = result.evaluation.mistakes(&result.held_out().unwrap()).len();
    let right = 64 - wrong;
    assert_eq!(images, 10 + 24 + wrong.min(20) + 10 + 60 + 1 + right.min(1) + wrong.min(1) + 1 + 1 + 2 + 6 + 3);
    assert_eq!(page.matches("<svg").count(), 3);
    assert!(page.contains("Total params: 113,514") && page.contains("64 held-out digits"), "{page:.2000}");
    assert!(!page.contains("http://") && !page.contains("https://"));
    let model = safetensors::load_model(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(evaluate(&model, &result.held_out().unwrap(), config.cpu).unwrap(), result.evaluation);

    let message = Demo::claim_folder(folder.path(), false).unwrap_err().to_string();
    assert!(message.contains("index.html already exists"), "{message}");
    Demo::claim_folder(folder.path(), true).unwrap().discard().unwrap();
}

/// Stops after this many epochs.
struct Stopping(usize);

impl Callback for Stopping {
    fn update(&mut self, step: &Step<'_>) -> ControlFlow<()> {
        match step.detail {
            Detail::Training(report) if report.epoch > self.0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[test]
fn a_stopped_demonstration_shows_what_it_has() {
    let demo = small();
    let config = TrainConfig { epochs: 3, batch_size: 64, ..demo.config(42, Cpu::detect()) };
    let result = demo.run(&config, Stopping(1)).unwrap();
    assert!(result.training.interrupted);
    let depth = Depth {
        class_steps: 1,
        filter_steps: 1,
        photo_steps: 1,
        photo_height: 64,
        painting_size: 64,
        painting_steps: 1,
    };
    let page = page::report(&result, &Deconstruction::of(&result, &depth).unwrap(), 0.0).unwrap().html();
    assert!(page.contains("stopped after 1 of 3 epochs"));
    assert!(matches!(demo.run(&config, Stopping(0)), Err(Error::Interrupted)));
}
