//! The most confident mistakes, with Grad-CAM heatmaps.

use super::{RunReport, percent};
use crate::data::Image;
use crate::explain::{ExplainConfig, Explainer, Method};
use crate::plot::{Content, Gallery, Heat, HeatOverlay};
use crate::train::Evaluation;
use crate::{Error, Result};

/// The number of images shown.
const WORST: usize = 12;
/// Pixels between an image and its heatmap.
const GAP: usize = 4;

pub(super) fn content(report: &RunReport, evaluation: &Evaluation) -> Result<Content> {
    let mut order = evaluation.mistakes(report.set());
    if order.is_empty() {
        return Ok(Content::new().paragraph("No mistakes: every image was classified correctly."));
    }
    order.truncate(WORST);
    let settings = ExplainConfig { cpu: report.cpu, ..ExplainConfig::default() };
    let mut explainer = match Explainer::new(report.model, &settings) {
        Ok(explainer) => Some(explainer),
        Err(Error::Unsupported(_)) => None,
        Err(problem) => return Err(problem),
    };
    let preprocessing = report.model.preprocessing()?;
    let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
    let mut gallery = Gallery::new(report.zoom()).photos();
    let mut explained = false;
    for &index in &order {
        let (truth, predicted) = (evaluation.labels[index], evaluation.predicted[index]);
        report.set().fill(index, preprocessing, &mut input)?;
        let seen = preprocessing.to_image(&input)?;
        let map = match &mut explainer {
            // Grad-CAM needs a layer with spatial extent.
            Some(explainer) => match explainer.explain(&input, predicted, Method::GradCam) {
                Ok(map) => Some(map),
                Err(Error::Argument(_) | Error::Unsupported(_)) => None,
                Err(problem) => return Err(problem),
            },
            None => None,
        };
        let image = match map {
            Some(map) => {
                explained = true;
                let heat = HeatOverlay::new(&seen, &map.values, Heat::Positive).smooth(true).render()?;
                side_by_side(&seen.to_rgb(), &heat.to_rgb())?
            }
            None => seen,
        };
        let probability = percent(evaluation.probabilities[index][predicted].into());
        let loss = -f64::from(evaluation.probabilities[index][truth]).max(1e-12).ln();
        let (name, taken) = (report.class_name(truth), report.class_name(predicted));
        let said = format!("{name} → {taken}, {probability}");
        gallery = gallery.item(image, format!("{said}\nloss {loss:.2} · {}", report.data.name(index)), true);
    }
    let intro = "The misclassified images, most confident first: true class → predicted class, and its probability.";
    let maps = " Next to each, its Grad-CAM heatmap: bright areas are evidence for the predicted class. Wrong labels in the data \
                show up here first.";
    let intro = if explained { format!("{intro}{maps}") } else { intro.to_owned() };
    Content::new().paragraph(&intro).gallery(&gallery)
}

/// Joins two RGB images of the same height side by side.
fn side_by_side(left: &Image, right: &Image) -> Result<Image> {
    let (height, widths) = (left.height().min(right.height()), [left.width(), right.width()]);
    let mut pixels = Vec::with_capacity(3 * height * (widths[0] + GAP + widths[1]));
    for row in 0..height {
        pixels.extend_from_slice(&left.pixels()[3 * row * widths[0]..3 * (row + 1) * widths[0]]);
        pixels.extend([255; 3 * GAP]);
        pixels.extend_from_slice(&right.pixels()[3 * row * widths[1]..3 * (row + 1) * widths[1]]);
    }
    Image::new(widths[0] + GAP + widths[1], height, 3, pixels)
}
