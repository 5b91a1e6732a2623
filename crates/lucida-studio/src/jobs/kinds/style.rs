//! Style transfer by optimization: a content image, styles, and settings relative to a preset.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use lucida::core::{Detail, Step, StyleProgress};
use lucida::data::Image;
use lucida::style::{
    ColorSource, LEAST_SIDE, Preset, StyleConfig, StyleNetwork, StyleRequest, choose_network, transfer,
};
use lucida::{Cpu, Error};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{JobTask, Lane, Plan};
use crate::jobs::Handle;
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Minimum interval between two intermediate images, and their maximum number.
const PREVIEW_INTERVAL: Duration = Duration::from_millis(900);
const MAX_PREVIEWS: usize = 60;
/// The preset that the settings modify.
const PRESET: Preset = Preset::Best;
/// Maximum number of styles.
const STYLES: usize = 4;

/// Request for a style transfer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Style {
    content: String,
    styles: Vec<WeightedStyle>,
    /// The longer side of the result in pixels.
    size: usize,
    /// Factors for the preset's content weight and for its style scale, which sets the size of the strokes.
    #[serde(default = "one")]
    keep: f32,
    #[serde(default = "one")]
    strokes: f32,
    /// Factor for the preset's number of steps.
    #[serde(default = "one")]
    effort: f32,
    /// Whether the colors of the content are kept.
    #[serde(default)]
    own_colours: bool,
    #[serde(default = "super::train::seed")]
    seed: u64,
}

/// A style image and its weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightedStyle {
    image: String,
    weight: f32,
}

pub(super) fn one() -> f32 {
    1.0
}

/// Returns the image, unless it is too small for a network: the job would fail later.
pub(super) fn large_enough(what: &str, image: Image) -> Result<Image> {
    let (width, height) = (image.width(), image.height());
    match width.min(height) < LEAST_SIDE {
        true => Err(Problem::invalid(format!(
            "{what} has {width}x{height} pixels; at least {LEAST_SIDE}x{LEAST_SIDE} are needed"
        ))),
        false => Ok(image),
    }
}

struct StyleTask {
    request: Style,
    content: Image,
    styles: Vec<(Image, f32)>,
}

impl Style {
    pub(super) fn plan(&self, studio: &Studio) -> Result<Plan> {
        let within = |value: f32, low: f32, high: f32| (low..=high).contains(&value);
        let fits = (64..=1024).contains(&self.size)
            && within(self.keep, 0.01, 100.0)
            && within(self.strokes, 0.25, 4.0)
            && within(self.effort, 0.01, 4.0)
            && (1..=STYLES).contains(&self.styles.len())
            && self.styles.iter().all(|part| within(part.weight, 0.01, 100.0));
        if !fits {
            let limits = "64 to 1024 pixels, 1 to 4 styles, their weights 0.01 to 100, keep 0.01 to 100, \
                          strokes 0.25 to 4, effort 0.01 to 4";
            return Err(Problem::invalid(format!("a style transfer needs {limits}")));
        }
        let image = |name: &str, what: &str| large_enough(what, studio.image(name)?.to_rgb());
        let content = image(&self.content, "the content image")?;
        let style = |(index, part): (usize, &WeightedStyle)| {
            Ok((image(&part.image, &format!("style {}", index + 1))?, part.weight))
        };
        let styles = self.styles.iter().enumerate().map(style).collect::<Result<Vec<_>>>()?;
        let task = Box::new(StyleTask { request: self.clone(), content, styles });
        Ok(Plan { kind: "style", title: "Style transfer".into(), lane: Lane::Long, stamp: None, task })
    }

    /// Returns the preset with the settings of the request.
    fn config(&self, network: &StyleNetwork, cpu: Cpu) -> lucida::Result<StyleConfig> {
        let scaled = |steps: usize| ((steps as f32 * self.effort).round() as usize).max(1);
        let mut config = PRESET.config(network, cpu)?;
        config.size = self.size;
        config.steps = scaled(config.steps);
        config.first_steps = scaled(config.first_steps);
        config.loss.content_weight *= self.keep;
        config.style_scale *= self.strokes;
        config.seed = self.seed;
        Ok(config)
    }
}

impl JobTask for StyleTask {
    fn run(self: Box<Self>, studio: &Studio, job: &Handle) -> lucida::Result<Value> {
        let Self { request, content, styles } = *self;
        job.save("content.png", &content.png_bytes()?)?;
        for (number, (style, _)) in styles.iter().enumerate() {
            job.save(&format!("style-{number}.png"), &style.png_bytes()?)?;
        }
        let network = StyleNetwork::new(choose_network(None, None)?, PRESET.pooling())?;
        let name = network.name().to_owned();
        let settings = request.config(&network, studio.cpu)?;
        let mut transferred = StyleRequest::new(content, styles);
        if request.own_colours {
            transferred.colors = ColorSource::Luminance;
        }
        let mut previews = Previews { job, last: None, count: 0 };
        let mut unsaved = Ok(());
        let result = transfer(&network, &transferred, &settings, &mut |step: &Step<'_>| {
            let Detail::Style(style) = &step.detail else { return job.flow() };
            let ([height, width], [number, steps]) = (style.size, style.step);
            let done = step.fraction().unwrap_or(0.0);
            let doing = format!("{width} × {height} pixels, step {number} of {steps}");
            let flow = job.progress((1000.0 * done) as usize, 1000, &doing);
            unsaved = previews.save_if_due(done, style);
            if unsaved.is_err() { ControlFlow::Break(()) } else { flow }
        })?;
        unsaved?;
        let image = result.canvas.to_image()?;
        job.save("painting.png", &image.png_bytes()?)?;
        if image.width() == 0 {
            return Err(Error::Bug("an empty style transfer".into()));
        }
        // A quick job ends before a second intermediate image is due; the curves need their last point, too.
        let end = &result.end;
        let losses = [end.content, end.style.iter().sum(), end.total];
        job.publish(preview_event("painting.png", 1.0, result.canvas.size, losses));
        Ok(json!({
            "picture": "painting.png",
            "network": name,
            "width": image.width(),
            "height": image.height(),
            "steps": result.steps,
            "stopped": result.stopped,
            "content": result.end.content,
            "style": result.end.style.iter().sum::<f64>(),
            "total": result.end.total,
        }))
    }
}

/// The intermediate images of a style transfer.
struct Previews<'a> {
    job: &'a Handle<'a>,
    /// When the last one was saved.
    last: Option<Instant>,
    count: usize,
}

impl Previews<'_> {
    /// Saves an image if one is due. They are spread over the whole transfer, however long it takes.
    fn save_if_due(&mut self, done: f64, style: &StyleProgress<'_>) -> lucida::Result<()> {
        let is_time = self
            .last
            .is_none_or(|last| last.elapsed() >= PREVIEW_INTERVAL && done * MAX_PREVIEWS as f64 >= self.count as f64);
        if is_time && self.count < MAX_PREVIEWS {
            self.last = Some(Instant::now());
            let file = format!("step-{:02}.png", self.count);
            self.job.save(&file, &style.image()?.png_bytes()?)?;
            self.count += 1;
            let losses = [style.content_loss, style.style_loss, style.loss];
            self.job.publish(preview_event(&file, done, style.size, losses));
        }
        Ok(())
    }
}

/// Returns the event for an intermediate image, or for the last one.
fn preview_event(file: &str, done: f64, size: [usize; 2], [content, style, total]: [f64; 3]) -> Value {
    json!({
        "file": file,
        "done": done,
        "size": size,
        "content": content,
        "style": style,
        "total": total,
    })
}
