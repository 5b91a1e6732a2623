//! Explains a prediction with several attribution methods, each with its faithfulness scores.

use std::sync::Arc;

use lucida::Error;
use lucida::core::Step;
use lucida::explain::{ExplainConfig, Explainer, Method, heat_scale, overlay};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{JobTask, Lane, Plan, stamp};
use crate::data::Named;
use crate::jobs::Handle;
use crate::models::Loaded;
use crate::problem::{Problem, Result};
use crate::state::Studio;

/// Number of RISE masks for photos, few enough that the user does not wait long.
const MASKS: usize = 500;
/// Number of colors in the color scale of a map.
const COLORS: usize = 17;

/// Request to explain a prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explain {
    model: String,
    image: String,
    /// By default, the most probable class.
    class: Option<usize>,
    methods: Vec<String>,
}

struct ExplainTask {
    loaded: Arc<Loaded>,
    input: Vec<f32>,
    class: Option<usize>,
    methods: Vec<Method>,
}

impl Explain {
    pub(super) fn plan(&self, studio: &Studio) -> Result<Plan> {
        let loaded = studio.models.get(&self.model)?;
        let classes = match loaded.classes() {
            0 => {
                return Err(Problem::invalid("this network is not a classifier: there is no prediction to explain"));
            }
            classes => classes,
        };
        if let Some(class) = self.class.filter(|&class| class >= classes) {
            return Err(Problem::invalid(format!("there is no class {class}: classes are 0 to {}", classes - 1)));
        }
        if self.methods.is_empty() || self.methods.len() > Method::ALL.len() {
            return Err(Problem::invalid("choose at least one method"));
        }
        let methods = self.methods.iter().map(|name| name.parse()).collect::<lucida::Result<Vec<Method>>>()?;
        let input = studio.input(&loaded, &self.image)?;
        let caption = studio.data.caption(&Named::parse(&self.image)?)?;
        Ok(Plan {
            kind: "explain",
            title: format!("Explain {}: {}", loaded.title(), caption.title),
            lane: Lane::Quick,
            stamp: stamp(&loaded),
            task: Box::new(ExplainTask { loaded, input, class: self.class, methods }),
        })
    }
}

impl JobTask for ExplainTask {
    fn run(self: Box<Self>, studio: &Studio, job: &Handle) -> lucida::Result<Value> {
        let Self { loaded, input, class, methods } = *self;
        let model = &loaded.model;
        let image = model.preprocessing()?.to_image(&input)?;
        let mut settings = ExplainConfig { cpu: studio.cpu, ..ExplainConfig::default() };
        if !loaded.is_digits() {
            settings.masks = MASKS;
        }
        let mut explainer = Explainer::new(model, &settings)?.progress(|_: &Step<'_>| job.flow());
        let probabilities = explainer.probabilities(&input)?;
        let (best, _) = explainer.predict(&input)?;
        let class = class.unwrap_or(best);
        let total = methods.len();
        let mut failed = 0;
        for (number, &method) in methods.iter().enumerate() {
            if job.progress(number, total, method.title()).is_break() {
                return Err(Error::Interrupted);
            }
            let started = std::time::Instant::now();
            let mut found = json!({ "method": method.name(), "title": method.title() });
            let map = explainer.explain(&input, class, method);
            match map.and_then(|map| Ok((explainer.faithfulness(&input, &map)?, map))) {
                Ok((faithfulness, map)) => {
                    let name = format!("{}.png", method.name());
                    job.save(&name, &overlay(&image, &map)?.png_bytes()?)?;
                    found["picture"] = name.into();
                    found["deletion"] = faithfulness.deletion_area().into();
                    found["insertion"] = faithfulness.insertion_area().into();
                    found["scale"] = heat_scale(&image, &map, COLORS)
                        .map(|scale| json!({ "values": scale.values, "colors": scale.colors }))
                        .into();
                    found["remark"] =
                        map.flat_reason().map(str::to_owned).or_else(|| map.completeness.warning()).into();
                    found["seconds"] = started.elapsed().as_secs_f64().into();
                }
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                // A method that does not support this network does not stop the others.
                Err(error) => {
                    found["error"] = error.to_string().into();
                    failed += 1;
                }
            }
            job.publish(found);
        }
        let _ = job.progress(total, total, "done");
        Ok(json!({
            "class": class,
            "class_name": loaded.class_name(class),
            "probability": probabilities.get(class),
            "failed": failed,
        }))
    }
}
