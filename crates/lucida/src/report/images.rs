//! The images of the demonstration, written as files and used in its report.

use super::DemoResult;
use crate::data::{Dataset, Image};
use crate::nn::Layer;
use crate::plot::{Cell, Colormap, Confusion, Grid, Normalize, Scope, kernel_maps};
use crate::{Error, Result};

pub(super) const CURVES: &str = "curves.png";
pub(super) const PREDICTIONS: &str = "predictions.png";
pub(super) const CONFUSION: &str = "confusion.png";
pub(super) const MISTAKES: &str = "mistakes.png";
pub(super) const KERNELS: &str = "kernels.png";

/// The number of digits shown with predictions.
const FIRST: usize = 10;
/// The number of mistakes shown.
const WORST: usize = 20;

/// All images with their file names.
pub(super) fn all(result: &DemoResult) -> Result<Vec<(&'static str, Image)>> {
    let digits = |tiles: Vec<Tile>, title: &str| {
        let cells =
            tiles.into_iter().map(|tile| Cell::new(tile.image).caption(tile.lines.join("\n")).flagged(tile.wrong));
        Grid::new(cells).columns(10).zoom(3).margin(14).padding(16).title(title).render()
    };
    let mistakes = match mistakes(result)? {
        none if none.is_empty() => Image::filled(28, 28, &[255]),
        some => digits(some, "Most confident mistakes: true class → predicted class")?,
    };
    let kernels = Grid::new(kernels(result)?).columns(8).zoom(24).margin(10).padding(16);
    Ok(vec![
        (CURVES, result.training.history.curves().figure().image(2.0)?),
        (PREDICTIONS, digits(predictions(result)?, "Sample predictions on held-out digits")?),
        (CONFUSION, confusion(result)?.figure().image(2.0)?),
        (MISTAKES, mistakes),
        (KERNELS, kernels.title("Kernels of the first layer (blue: negative, red: positive)").render()?),
    ])
}

/// A digit with two lines of caption.
pub(super) struct Tile {
    pub(super) image: Image,
    pub(super) lines: [String; 2],
    pub(super) wrong: bool,
}

/// The first held-out digits with their predicted class and its probability.
pub(super) fn predictions(result: &DemoResult) -> Result<Vec<Tile>> {
    let count = FIRST.min(result.evaluation.predicted.len());
    (0..count).map(|index| tile(result, index)).collect()
}

/// The misclassified digits, most confident first.
pub(super) fn mistakes(result: &DemoResult) -> Result<Vec<Tile>> {
    let wrong = result.evaluation.mistakes(&result.held_out()?);
    wrong.into_iter().take(WORST).map(|index| tile(result, index)).collect()
}

fn tile(result: &DemoResult, index: usize) -> Result<Tile> {
    let digits = result.held_out()?;
    let (truth, predicted) = (digits.label(index), result.evaluation.predicted[index]);
    let probability = 100.0 * result.evaluation.probabilities[index][predicted];
    let what = if truth == predicted {
        result.class_name(predicted).to_owned()
    } else {
        format!("{} → {}", result.class_name(truth), result.class_name(predicted))
    };
    Ok(Tile { image: digits.image(index)?, lines: [what, format!("{probability:.1} %")], wrong: truth != predicted })
}

/// The confusion matrix.
pub(super) fn confusion(result: &DemoResult) -> Result<Confusion> {
    let counts = result.evaluation.confusion.counts().to_vec();
    Ok(Confusion::new(result.model.class_names.clone(), counts)?.title("Held-out digits"))
}

/// The kernels of the first convolution, all on one scale.
pub(super) fn kernels(result: &DemoResult) -> Result<Vec<Image>> {
    let network = &result.model.network;
    let convolution = network.nodes().iter().find(|node| matches!(node.layer(), Layer::Conv2D(_)));
    let kernel = convolution.and_then(|node| network.weights().get(node.weights().start));
    let no_kernel = || Error::Bug("the network of the demonstration has no convolution".to_owned());
    let kernel = kernel.ok_or_else(no_kernel)?;
    let shape = kernel.shape().try_into().map_err(|_| no_kernel())?;
    kernel_maps(kernel.values(), shape, Normalize::Symmetric, Scope::Shared, Colormap::RdBuR)
}
