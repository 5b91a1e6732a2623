//! Repeated attributions for one network.

use super::cam::CamPass;
use super::faithfulness::Faithfulness;
use super::heat_map::RawAttribution;
use super::lrp::RelevancePass;
use super::passes::{Gradients, PassCounter, Readout, Scorer};
use super::{Baseline, ExplainConfig, HeatMap, Method};
use crate::core::Progress;
use crate::nn::{Network, Plan};
use crate::weights::{Model, Outputs, check_finite, is_finite};
use crate::{Error, Result};

/// Computes attributions of one model, for any number of images.
///
/// Each method's plans are created on first use and reused, so that memory does not grow with the number of images. An
/// image is passed as the network's input: `[height, width, channels]`, preprocessed by the model's
/// [`Preprocessing`](crate::data::Preprocessing).
///
/// ```
/// use lucida::data::{Dataset, Mnist, Preprocessing};
/// use lucida::explain::{Explainer, Method, ExplainConfig};
/// use lucida::nn::applications;
/// use lucida::weights::Model;
///
/// let model = Model { preprocessing: Some(Preprocessing::mnist()), ..Model::new(applications::mnist_cnn(1)?) };
/// let mut input = vec![0.0; 28 * 28];
/// Mnist::builtin()?.train.fill(0, model.preprocessing()?, &mut input)?;
/// let mut explainer = Explainer::new(&model, &ExplainConfig::default())?;
/// let (class, _probability) = explainer.predict(&input)?;
/// let map = explainer.explain(&input, class, Method::IntegratedGradients)?;
/// assert_eq!(map.size, [28, 28]);
/// # Ok::<(), lucida::Error>(())
/// ```
pub struct Explainer<'a> {
    pub(super) network: &'a Network,
    pub(super) outputs: Outputs,
    pub(super) settings: ExplainConfig,
    pub(super) shape: [usize; 3],
    /// A black pixel after preprocessing.
    black: Vec<f32>,
    pub(super) scorer: Scorer<'a>,
    pub(super) gradients: Option<Gradients>,
    pub(super) guided: Option<Plan>,
    pub(super) relevance: Option<RelevancePass<'a>>,
    pub(super) cam: Option<CamPass>,
    pub(super) passes: PassCounter<'a>,
}

impl<'a> Explainer<'a> {
    /// Prepares attributions for a model.
    ///
    /// # Errors
    /// As [`Outputs::of`]; [`Error::Unsupported`] when the network's input is not a single image; [`Error::Argument`] when
    /// a setting is invalid.
    pub fn new(model: &'a Model, settings: &ExplainConfig) -> Result<Self> {
        let black = match &model.preprocessing {
            Some(preprocessing) => {
                preprocessing.check()?;
                let dark = |(mean, std): (&f32, &f32)| (0.0 - mean) / std;
                preprocessing.mean.iter().zip(&preprocessing.std).map(dark).collect()
            }
            None => Vec::new(),
        };
        Self::of_network(&model.network, Outputs::of(model)?, black, settings)
    }

    /// As [`Explainer::new`]; `black` is a black pixel after preprocessing, or empty for zeros.
    pub(super) fn of_network(
        network: &'a Network,
        outputs: Outputs,
        black: Vec<f32>,
        settings: &ExplainConfig,
    ) -> Result<Self> {
        settings.check()?;
        let shape = network.input_shape()?;
        let no_image = || {
            let what = format!("network {} takes values of shape {shape}, not images to explain", network.name());
            Error::Unsupported(what)
        };
        let shape = shape.as_image().ok_or_else(no_image)?;
        let black = if black.len() == shape[2] { black } else { vec![0.0; shape[2]] };
        Ok(Self {
            network,
            settings: settings.clone(),
            shape,
            black,
            scorer: Scorer::new(network, &outputs, settings.cpu)?,
            outputs,
            gradients: None,
            guided: None,
            relevance: None,
            cam: None,
            passes: PassCounter::silent(),
        })
    }

    /// Reports to `progress`, in [`Unit::Passes`](crate::core::Unit::Passes), with the name of the method, `deletion` or
    /// `insertion` as the stage. When it requests a stop, the result is [`Error::Interrupted`].
    #[must_use]
    pub fn progress(self, progress: impl Progress + 'a) -> Self {
        Self { passes: PassCounter { progress: Box::new(progress), stage: self.passes.stage }, ..self }
    }

    /// The outputs that are explained: classes, labels, or values.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The probability of each class or label; for a regression, the values.
    ///
    /// # Errors
    /// [`Error::Argument`] when the length of `input` is not that of the network's input. When the scores are not finite,
    /// [`Error::Argument`] if the input is not finite either, else [`Error::Unsupported`].
    pub fn probabilities(&mut self, input: &[f32]) -> Result<Vec<f32>> {
        self.check_input(input)?;
        let Self { outputs, scorer, .. } = self;
        let mut found = Vec::new();
        let fill = |_, to: &mut [f32]| to.copy_from_slice(input);
        let mut scores = Vec::new();
        scorer.run(1, &mut PassCounter::silent(), fill, |_, row| {
            scores.extend_from_slice(row);
            found = outputs.of_scores(row);
        })?;
        check_finite(self.network, &scores, is_finite(input))?;
        Ok(found)
    }

    /// The most probable class or label with its probability; for a regression, the first value.
    ///
    /// # Errors
    /// As [`Explainer::probabilities`].
    pub fn predict(&mut self, input: &[f32]) -> Result<(usize, f32)> {
        let all = self.probabilities(input)?;
        let best = self.outputs.best(&all);
        Ok((best, all[best]))
    }

    /// Attributes the score of a class to the pixels.
    ///
    /// ```
    /// use lucida::explain::explain;
    /// use lucida::prelude::*;
    ///
    /// # let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
    /// # let mut input = vec![0.0; 28 * 28];
    /// # Mnist::builtin()?.train.fill(0, model.preprocessing()?, &mut input)?;
    /// let map = explain(&model, &input, 5, Method::GradCam, &ExplainConfig::default())?;
    /// assert_eq!((map.class, map.size, map.values.len()), (5, [28, 28], 28 * 28));
    /// let image = overlay(&model.preprocessing()?.to_image(&input)?, &map)?;
    /// assert_eq!(image.channels(), 3);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] when the class does not exist, `input` has a wrong length, or the configured layer does not
    /// exist or has no spatial extent; [`Error::Interrupted`] when the progress requested a stop.
    pub fn explain(&mut self, input: &[f32], class: usize, method: Method) -> Result<HeatMap> {
        self.check_input(input)?;
        let readout = Readout::of(&self.outputs, class)?;
        self.passes.stage = method.name();
        let RawAttribution { score, raw_shape, raw, values, completeness } = match method {
            Method::Gradient => self.gradient(input, &readout)?,
            Method::SmoothGrad => self.smooth_grad(input, &readout)?,
            Method::GradientXInput => self.gradient_x_input(input, &readout)?,
            Method::GuidedBackprop => self.guided_backprop(input, &readout)?,
            Method::IntegratedGradients => self.integrated_gradients(input, &readout)?,
            Method::GradCam | Method::GradCamPlusPlus | Method::LayerCam => self.grad_cam(input, &readout, method)?,
            Method::ScoreCam => self.score_cam(input, &readout)?,
            Method::Occlusion => self.occlusion(input, &readout)?,
            Method::Rise => self.rise(input, &readout)?,
            Method::Lrp => self.lrp(input, &readout)?,
        };
        let size = [self.shape[0], self.shape[1]];
        Ok(HeatMap { method, class, score, size, values, raw_shape, raw, completeness })
    }

    /// Measures how well a map identifies the pixels that the class depends on, by deletion and insertion.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// # let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
    /// # let mut input = vec![0.0; 28 * 28];
    /// # Mnist::builtin()?.train.fill(0, model.preprocessing()?, &mut input)?;
    /// let mut explainer = Explainer::new(&model, &ExplainConfig::default())?;
    /// let (class, probability) = explainer.predict(&input)?;
    /// let map = explainer.explain(&input, class, Method::GradientXInput)?;
    /// let faithfulness = explainer.faithfulness(&input, &map)?;
    /// assert!((faithfulness.deletion[0] - probability).abs() < 1e-6, "nothing is deleted yet");
    /// assert!((0.0..=1.0).contains(&faithfulness.insertion_area()));
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] as [`Explainer::explain`], or when the map's size differs; [`Error::Interrupted`] when the
    /// progress requested a stop.
    pub fn faithfulness(&mut self, input: &[f32], map: &HeatMap) -> Result<Faithfulness> {
        self.check_input(input)?;
        if map.values.len() != self.shape[0] * self.shape[1] {
            let [height, width, _] = self.shape;
            let got = map.values.len();
            return Err(Error::argument(format!("a map of {got} values for an image of {height} x {width} pixels")));
        }
        let readout = Readout::of(&self.outputs, map.class)?;
        self.curves(input, &readout, &map.values)
    }

    /// A black pixel after preprocessing.
    pub(super) fn black(&self) -> &[f32] {
        &self.black
    }

    /// The baseline image, as network input.
    pub(super) fn baseline(&self, input: &[f32]) -> Vec<f32> {
        let channels = self.shape[2];
        let pixel: Vec<f32> = match self.settings.baseline {
            Baseline::Black => self.black.clone(),
            Baseline::Mean => (0..channels)
                .map(|channel| {
                    let values = input.iter().skip(channel).step_by(channels);
                    (values.map(|&value| f64::from(value)).sum::<f64>() * channels as f64 / input.len() as f64) as f32
                })
                .collect(),
        };
        pixel.repeat(self.shape[0] * self.shape[1])
    }

    fn check_input(&self, input: &[f32]) -> Result<()> {
        let [height, width, channels] = self.shape;
        let expected = height * width * channels;
        if input.len() == expected {
            return Ok(());
        }
        Err(Error::argument(format!(
            "{} values are not an input of ({height}, {width}, {channels}) for network {}",
            input.len(),
            self.network.name()
        )))
    }
}

/// Attributes the score of a class to the pixels: [`Explainer`] in one call, for a single image.
///
/// # Errors
/// As [`Explainer::new`] and [`Explainer::explain`].
pub fn explain(
    model: &Model,
    input: &[f32],
    class: usize,
    method: Method,
    settings: &ExplainConfig,
) -> Result<HeatMap> {
    Explainer::new(model, settings)?.explain(input, class, method)
}
