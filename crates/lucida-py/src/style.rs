//! Style transfer.

use std::path::PathBuf;

use lucida::Cpu;
use lucida::data::free_memory;
use lucida::style::{
    BRUSHWORK, ColorSource, InitialImage, Lbfgs, Pooling, Preset, StyleConfig, StyleLoss, StyleNetwork, StyleOptimizer,
    StyleRequest, brushwork, choose_network, transfer,
};
use lucida::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::of_image;
use crate::job::run;
use crate::model::{ImageInput, ImageSource};
use crate::options::named;

/// The options of `lucida style`, with the same names.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct StyleOptions {
    preset: String,
    size: Option<usize>,
    style_weight: f32,
    style_scale: f32,
    keep_colors: Option<String>,
    network: Option<String>,
    weights: Option<PathBuf>,
    steps: Option<usize>,
    coarsest: Option<usize>,
    optimizer: Option<String>,
    pooling: String,
    style_loss: String,
    init: String,
    smoothness: f32,
    blend: Vec<f32>,
    seed: u64,
}

impl StyleOptions {
    fn open(&self) -> Result<(StyleNetwork, StyleConfig)> {
        let model = choose_network(self.network.as_deref(), self.weights.as_deref())?;
        let pooling = named("pooling", &self.pooling, &[("max", Pooling::Max), ("average", Pooling::Average)])?;
        let network = StyleNetwork::new(model, pooling)?;
        let presets = [("best", Preset::Best), ("gatys", Preset::Gatys), ("tensorflow", Preset::TensorFlow)];
        let mut config = named("preset", &self.preset, &presets)?.config(&network, Cpu::detect())?;
        config.size = self.size.unwrap_or(config.size);
        config.style_scale = self.style_scale;
        config.seed = self.seed;
        config.memory = Some(free_memory() / 2);
        config.loss.style_weight *= self.style_weight;
        config.loss.variation_weight *= self.smoothness;
        let losses = [("gram", StyleLoss::Gram), ("wasserstein", StyleLoss::Wasserstein)];
        config.loss.style_loss = named("style_loss", &self.style_loss, &losses)?;
        if let Some(steps) = self.steps {
            (config.steps, config.first_steps) = (steps, steps);
        }
        if let Some(coarsest) = self.coarsest {
            config.smallest = (coarsest > 0).then_some(coarsest);
        }
        let adam = Preset::Best.config(&network, Cpu::detect())?.optimizer;
        if let Some(name) = &self.optimizer {
            let lbfgs = StyleOptimizer::Lbfgs(Lbfgs { history: 10 });
            let wanted = named("optimizer", name, &[("adam", adam), ("lbfgs", lbfgs)])?;
            let keeps = matches!((wanted, config.optimizer), (StyleOptimizer::Adam(_), StyleOptimizer::Adam(_)));
            config.optimizer = if keeps { config.optimizer } else { wanted };
        }
        config.start = match self.init.as_str() {
            "content" => InitialImage::Content,
            "noise" => InitialImage::Noise,
            other => return Err(Error::argument(format!("init {other:?} is unknown; expected content or noise"))),
        };
        Ok((network, config))
    }

    fn colors(&self) -> Result<ColorSource> {
        let sources = [("luminance", ColorSource::Luminance), ("histogram", ColorSource::Histogram)];
        self.keep_colors.as_deref().map_or(Ok(ColorSource::Style), |name| named("keep_colors", name, &sources))
    }
}

/// Opens a style image: the built-in style by name, or any image.
fn open_style(source: ImageSource) -> Result<lucida::data::Image> {
    match source {
        ImageSource::File(path) if path.as_os_str() == BRUSHWORK && !path.exists() => brushwork(),
        other => other.open(),
    }
}

/// Style transfer: returns the image with losses and steps, and whether it was stopped.
#[pyfunction]
pub(crate) fn style<'py>(
    py: Python<'py>,
    content: ImageInput<'py>,
    styles: Vec<ImageInput<'py>>,
    mask: Option<ImageInput<'py>>,
    preserve: Option<ImageInput<'py>>,
    options: StyleOptions,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyDict>, Option<PyErr>)> {
    let content = content.take()?;
    let styles = styles.into_iter().map(ImageInput::take).collect::<PyResult<Vec<_>>>()?;
    let [mask, preserve] = [mask.map(ImageInput::take).transpose()?, preserve.map(ImageInput::take).transpose()?];
    let done = run(py, progress, move |watch| {
        let weights = match options.blend.len() {
            0 => vec![1.0; styles.len()],
            count if count == styles.len() => options.blend.clone(),
            count => return Err(Error::argument(format!("blend has {count} weights for {} styles", styles.len()))),
        };
        let styles = styles.into_iter().zip(weights).map(|(style, weight)| Ok((open_style(style)?, weight)));
        let request = StyleRequest {
            mask: mask.map(ImageSource::open).transpose()?,
            preserve: preserve.map(ImageSource::open).transpose()?,
            colors: options.colors()?,
            ..StyleRequest::new(content.open()?, styles.collect::<Result<_>>()?)
        };
        let (network, config) = options.open()?;
        request.check(&config)?;
        let made = transfer(&network, &request, &config, watch)?;
        Ok((made.canvas.to_image()?, made, network.name().to_owned()))
    })?;
    let (image, made, network) = done.result;
    let found = PyDict::new(py);
    found.set_item("array", of_image(py, &image)?)?;
    found.set_item("network", network)?;
    found.set_item("initial_loss", made.start.total)?;
    found.set_item("loss", made.end.total)?;
    found.set_item("steps", made.steps)?;
    found.set_item("stopped", made.stopped)?;
    Ok((found, done.stopped_by))
}
