//! Tests of the training of feed-forward styles.

use super::*;
use crate::batch_jobs::Source;
use crate::nn::Network;
use crate::style::{Pooling, brushwork, choose_network};

fn loss_network() -> StyleNetwork {
    StyleNetwork::new(choose_network(Some(crate::weights::BUILTIN), None).unwrap(), Pooling::Average).unwrap()
}

fn short(steps: usize) -> FeedForwardConfig {
    let config = FeedForwardConfig::new(&loss_network(), Cpu::detect()).unwrap();
    FeedForwardConfig { steps, crop: 32, batch_size: 2, style_size: 64, checkpoint_every: 3, ..config }
}

fn two_styles() -> [(String, Image); 2] {
    let image = brushwork().unwrap();
    let gray = image.to_gray().to_rgb();
    [("brush".to_owned(), image), ("gray".to_owned(), gray)]
}

fn training(config: FeedForwardConfig) -> FeedForwardTraining {
    FeedForwardTraining::new(&loss_network(), &two_styles(), Photos::builtin().unwrap(), config).unwrap()
}

fn run(training: FeedForwardTraining, checkpoint: Option<&Path>) -> FeedForwardResult {
    training.run(checkpoint, &mut (), &mut |_| Ok(())).unwrap()
}

/// All losses together, through the network.
#[test]
fn gradients_of_all_weights_are_those_of_finite_differences() {
    let config = FeedForwardConfig { temporal_weight: 30.0, ..short(4) };
    let mut training = training(config);
    training.parameters.choose(1);
    let crops = [0, 1].map(|number| training.photos.crop(3, number, 32).unwrap());
    let network = training.parameters.network.clone();
    let step = &mut training.step;
    let losses = step.run(&network, &crops, 1, true).unwrap();
    assert!(losses.content > 0.0 && losses.style > 0.0 && losses.temporal > 0.0 && losses.variation > 0.0);
    let gradients = step.gradients().to_vec();
    // Check the directional derivative of a whole weight tensor: for single numbers, rounding errors dominate.
    for name in
        ["down1_conv/kernel", "residual3_1_conv/kernel", "up2_norm/gamma", "down2_norm/beta", "output_conv/bias"]
    {
        let index = network.weights().iter().position(|weight| weight.name() == name).unwrap();
        let gradient = &gradients[index];
        let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let mut at = |distance: f64| {
            let mut moved: Network = network.clone();
            let values = moved.weights_mut()[index].values_mut().iter_mut().zip(gradient);
            values.for_each(|(value, g)| *value += (distance * f64::from(*g) / norm) as f32);
            step.run(&moved, &crops, 1, true).unwrap().total
        };
        let slope = (at(2e-3) - at(-2e-3)) / 4e-3;
        assert!((slope - norm).abs() < 0.05 * norm, "{name}: {slope} {norm}");
    }
}

#[test]
fn it_learns_and_the_same_seed_gives_the_same_bits() {
    let first = run(training(short(40)), None);
    let again = run(training(short(40)), None);
    assert_eq!(first.history, again.history);
    let files = [first.style.clone(), again.style].map(|style| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("style.lucida");
        style.save(&path).unwrap();
        std::fs::read(path).unwrap()
    });
    assert_eq!(files[0], files[1]);
    assert!(first.history[1].losses.total < 0.7 * first.history[0].losses.total, "{:?}", first.history);
    assert_ne!(first.style.sets[0], first.style.sets[1], "each style has learned its own");
    assert_eq!((first.steps, first.stopped), (40, false));
}

#[test]
fn a_training_that_resumes_ends_in_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let whole = run(training(short(7)), None);
    let mut stop = |step: &Step<'_>| if step.done == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let part = training(short(7)).run(Some(&path), &mut stop, &mut |_| Ok(())).unwrap();
    assert!(part.stopped && part.steps == 4);
    let resumed = training(short(7)).resume(&path).unwrap();
    assert_eq!(resumed.steps(), 4);
    let resumed = run(resumed, Some(&path));
    assert_eq!(resumed.history, whole.history);
    assert_eq!(resumed.style.sets, whole.style.sets);
    let weights = |style: &FeedForwardStyle| -> Vec<Vec<f32>> {
        style.model.network.weights().iter().map(|weight| weight.values().to_vec()).collect()
    };
    assert_eq!(weights(&resumed.style), weights(&whole.style));
    // Resuming with other settings fails.
    let other = training(FeedForwardConfig { learning_rate: 1e-4, ..short(7) }).resume(&path).unwrap_err();
    assert!(matches!(&other, Error::Changed { field, .. } if field == "learning rate"), "{other}");
    std::fs::write(&path, "rubbish").unwrap();
    assert!(training(short(7)).resume(&path).is_err());
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_no_training() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("checkpoint.safetensors");
    let mut told = 0;
    let result = training(short(4)).run(Some(&path), &mut (), &mut |event| {
        if let FeedForwardEvent::Unsaved(problem) = event {
            assert!(problem.to_string().contains("missing"), "{problem}");
            told += 1;
        }
        Ok(())
    });
    assert_eq!((result.unwrap().steps, told), (4, 2));
}

#[test]
fn what_cannot_be_trained() {
    let refused = |styles: &[(String, Image)], config: FeedForwardConfig| {
        let photos = Photos::builtin().unwrap();
        FeedForwardTraining::new(&loss_network(), styles, photos, config).unwrap_err().to_string()
    };
    let tiny = [("dot".to_owned(), Image::filled(4, 4, &[1, 2, 3]))];
    let problem = refused(&tiny, short(1));
    assert!(problem.contains("style dot has 4x4 pixels; at least 32x32"), "{problem}");
    assert!(refused(&two_styles(), FeedForwardConfig { crop: 34, ..short(1) }).contains("multiple of 4"));
    assert!(refused(&two_styles(), FeedForwardConfig { steps: 0, ..short(1) }).contains("at least 1"));
    assert!(refused(&[], short(1)).contains("without a style"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.png"), "no image").unwrap();
    let photos = Photos::open(Source::Folder(folder.path().to_owned())).unwrap();
    let training = FeedForwardTraining::new(&loss_network(), &two_styles(), photos, short(3)).unwrap();
    let problem = training.run(None, &mut (), &mut |_| Ok(())).unwrap_err().to_string();
    assert!(problem.contains("none of 1 photo can be read"), "{problem}");
}

#[test]
fn a_step_that_is_not_finite_is_named_and_keeps_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let mut two_steps = |step: &Step<'_>| match step.done {
        0..2 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let stopped = training(short(4)).run(Some(&path), &mut two_steps, &mut |_| Ok(())).unwrap();
    assert!(stopped.stopped && stopped.steps == 2);
    let kept = std::fs::read(&path).unwrap();
    let mut resumed = training(short(4)).resume(&path).unwrap();
    resumed.parameters.network.weights_mut()[0].values_mut().fill(f32::MAX);
    let problem = resumed.run(Some(&path), &mut (), &mut |_| Ok(())).unwrap_err().to_string();
    assert!(
        problem.starts_with("step 3 of 4: ") && problem.contains("the last good checkpoint is kept in"),
        "{problem}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), kept);
}
