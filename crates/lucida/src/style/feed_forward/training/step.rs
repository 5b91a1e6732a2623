//! A training step: the losses of a batch of crops, and the gradients of the network's weights.

use super::FeedForwardConfig;
use super::photos::Crop;
use super::temporal::temporal_loss;
use crate::data::Image;
use crate::nn::{Network, Plan};
use crate::style::losses::objective::{Region, StyleTarget};
use crate::style::pipeline::feature_extractor::{ViewConfig, unit_and_halo};
use crate::style::pipeline::pyramid::scaled;
use crate::style::pipeline::transfer::style_canvas;
use crate::style::{Canvas, Objective, StyleNetwork};
use crate::{Error, Result};

/// Losses of a batch, averaged over its crops, before weighting by kind.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct FeedForwardLosses {
    /// The weighted total, which is minimized.
    pub total: f64,
    /// The content loss.
    pub content: f64,
    /// The style loss: weighted sum over the layers.
    pub style: f64,
    /// The total variation.
    pub variation: f64,
    /// The temporal loss.
    pub temporal: f64,
}

impl FeedForwardLosses {
    /// Adds other losses, scaled by `factor`.
    pub(super) fn add(&mut self, factor: f64, other: &Self) {
        self.total += factor * other.total;
        self.content += factor * other.content;
        self.style += factor * other.style;
        self.variation += factor * other.variation;
        self.temporal += factor * other.temporal;
    }
}

/// State that is allocated once and shared by all steps.
pub(super) struct TrainStep {
    plan: Plan,
    objective: Objective,
    styles: Vec<StyleTarget>,
    /// Style that the objective currently compares with.
    current: Option<usize>,
    crop: Canvas,
    image: Canvas,
    style_weights: Vec<f64>,
    batch: usize,
    temporal_weight: f32,
}

impl TrainStep {
    /// Creates the state for a network of crop size, and named styles.
    pub(super) fn new(
        network: &Network,
        loss_network: &StyleNetwork,
        styles: &[(String, Image)],
        config: &FeedForwardConfig,
    ) -> Result<Self> {
        let loss_network = loss_network.cut(&config.loss.layers())?;
        loss_network.network.check_finite()?;
        let view = ViewConfig { cpu: config.cpu, exact: false, memory: None };
        let [unit, _] = unit_and_halo(&loss_network, &config.loss.layers())?;
        if !config.crop.is_multiple_of(unit.max(4)) {
            let unit = unit.max(4);
            return Err(Error::argument(format!(
                "crops of {} pixels; with this network, their side (--crop) must be a multiple of {unit}",
                config.crop
            )));
        }
        let targets = styles.iter().map(|(name, style)| {
            let size = scaled(&format!("style {name}"), [style.height(), style.width()], config.style_size)?;
            StyleTarget::measure(&loss_network, &config.loss, &style_canvas(style, size, unit)?, view)
        });
        let styles = targets.collect::<Result<Vec<_>>>()?;
        let crop = Canvas::filled([config.crop; 2], [127.5; 3]);
        let region = Region { mask: None, style: styles[0].clone() };
        let objective = Objective::with_regions(&loss_network, &config.loss, &crop, vec![region], view)?;
        // The twin of the first crop is the last sample.
        let twins = usize::from(config.temporal_weight > 0.0);
        let output = network.output()?.name();
        let plan = Plan::builder(network)
            .cpu(config.cpu)
            .batch_size(config.batch_size + twins)
            .output(output)
            .grad_output_at(output)
            .weight_gradients()
            .build()?;
        Ok(Self {
            plan,
            objective,
            styles,
            current: None,
            image: crop.clone(),
            crop,
            style_weights: config.loss.style.iter().map(|layer| f64::from(layer.weight)).collect(),
            batch: config.batch_size,
            temporal_weight: config.temporal_weight,
        })
    }

    /// Computes the losses of a batch in a style, with the temporal loss if `twin`, and the weight gradients, which
    /// [`gradients`](Self::gradients) returns.
    pub(super) fn run(
        &mut self,
        network: &Network,
        crops: &[Crop],
        style: usize,
        twin: bool,
    ) -> Result<FeedForwardLosses> {
        if self.current != Some(style) {
            self.objective.set_style(&self.styles[style]);
            self.current = Some(style);
        }
        let len = self.crop.values.len();
        let twin = (twin && self.temporal_weight > 0.0).then_some(&crops[0].twin);
        self.plan.set_batch(self.batch + usize::from(twin.is_some()));
        let inputs = crops.iter().map(|crop| &crop.pixels).chain(twin);
        self.plan.input_mut().chunks_exact_mut(len).zip(inputs).for_each(|(to, from)| to.copy_from_slice(from));
        self.plan.forward(network)?;
        let mut losses = FeedForwardLosses::default();
        for (index, crop) in crops.iter().enumerate() {
            losses.add(1.0 / self.batch as f64, &self.perceptual(index, crop)?);
        }
        if twin.is_some() {
            losses.temporal = self.temporal(crops[0].shift);
            losses.total += f64::from(self.temporal_weight) * losses.temporal;
        }
        self.plan.backward(network);
        Ok(losses)
    }

    /// Gradients of all weights of the network.
    pub(super) fn gradients(&mut self) -> &mut [Vec<f32>] {
        self.plan.weight_gradients_mut()
    }

    /// Computes the content, style and variation losses of a crop, and their gradient.
    fn perceptual(&mut self, index: usize, crop: &Crop) -> Result<FeedForwardLosses> {
        let len = self.crop.values.len();
        self.crop.values.copy_from_slice(&crop.pixels);
        self.objective.set_content(&self.crop)?;
        let (output, gradient) = self.plan.output_and_grad_mut(0, 0);
        let own = index * len..(index + 1) * len;
        self.image.values.copy_from_slice(&output[own.clone()]);
        let gradient = &mut gradient[own];
        let losses = self.objective.evaluate(&self.image, gradient)?;
        let share = 1.0 / self.batch as f32;
        gradient.iter_mut().for_each(|value| *value *= share);
        let style = losses.style.iter().zip(&self.style_weights).map(|(loss, weight)| loss * weight).sum();
        let (total, content, variation) = (losses.total, losses.content, losses.variation);
        Ok(FeedForwardLosses { total, content, style, variation, temporal: 0.0 })
    }

    /// Computes the temporal loss of the first crop and its twin, and its gradient.
    fn temporal(&mut self, shift: [isize; 2]) -> f64 {
        let len = self.crop.values.len();
        let (output, gradient) = self.plan.output_and_grad_mut(0, 0);
        let (image, twin) = (&output[..len], &output[self.batch * len..]);
        let (image_gradient, twin_gradient) = gradient.split_at_mut(self.batch * len);
        twin_gradient.fill(0.0);
        let gradients = [&mut image_gradient[..len], twin_gradient];
        temporal_loss(self.crop.size[0], shift, [image, twin], self.temporal_weight, gradients)
    }
}
