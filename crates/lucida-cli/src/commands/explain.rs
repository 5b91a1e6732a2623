//! `lucida explain`

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use lucida::core::{Progress, Step};
use lucida::data::Image;
use lucida::explain::{
    CompletenessCheck, ExplainConfig, Explained, Explainer, HeatMap, Method, SanityCheck, comparison, find_class,
    sanity_check, sanity_strips, spatial_layer,
};
use lucida::files;
use lucida::weights::{IncludeTop, Model, OutputKind, Outputs};
use serde::Serialize;
use serde_json::json;

use super::bulk::{Job, answer};
use super::source::ImageSet;
use super::subject::places;
use super::{Context, is_true, note_blank, open_model, refuse_class_for_names, refuse_folder};
use crate::bar::Bar;
use crate::cli::Explain;
use crate::cli::place::{about_image, name_of};
use crate::exit::Usage;
use crate::interrupt;
use crate::output::{as_json, percent};

/// File names of the comparison sheet and of the sanity-check strips.
const SHEET: &str = "comparison.png";
const CHECK: &str = "check.png";

/// Output of `--json`.
#[derive(Serialize)]
struct ExplainJson<'a> {
    model: &'a str,
    image: &'a str,
    /// The true class, for an image of a data set.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// The class, label, or value being explained.
    class: String,
    class_number: usize,
    #[serde(flatten)]
    found: ExplainedOutput,
    /// Whether a digit was found; omitted if true.
    #[serde(skip_serializing_if = "is_true")]
    digit_found: bool,
    methods: Vec<ExplanationJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Vec<SanityCheckJson>>,
    folder: String,
    files: Vec<String>,
}

/// The model's output for the explained class.
#[derive(Serialize)]
#[serde(untagged)]
enum ExplainedOutput {
    Class { probability: f32, predicted: String },
    Value { value: f32 },
}

impl ExplainedOutput {
    fn new(model: &Model, outputs: &Outputs, class: usize, found: &[f32]) -> Self {
        match outputs.kind() {
            OutputKind::Values => Self::Value { value: found[class] },
            _ => Self::Class { probability: found[class], predicted: model.class_name(outputs.best(found)) },
        }
    }
}

#[derive(Serialize)]
struct ExplanationJson {
    method: &'static str,
    score: f32,
    deletion_area: f64,
    insertion_area: f64,
    deletion: Vec<f32>,
    insertion: Vec<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<String>,
    /// Why the map is zero everywhere, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
    /// The sums of the map and the expected total, for integrated gradients and LRP.
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<CompletenessJson>,
}

#[derive(Serialize)]
struct CompletenessJson {
    pixels: f64,
    biases: f64,
    expected: f64,
}

#[derive(Serialize)]
struct SanityCheckJson {
    method: &'static str,
    suspicious: bool,
    stages: Vec<SanityStageJson>,
}

#[derive(Serialize)]
struct SanityStageJson {
    layer: String,
    rank_correlation: f64,
    rank_correlation_of_magnitudes: f64,
    structural_similarity: f64,
}

/// The result for one of many images.
#[derive(Serialize)]
struct SharedResultJson<'a> {
    class: String,
    #[serde(flatten)]
    found: ExplainedOutput,
    #[serde(skip_serializing_if = "is_true")]
    digit_found: bool,
    methods: Vec<ExplanationJson>,
    sheet: &'a Path,
}

/// Explains all images of a folder or list, shared among all processes; a sheet is written next to each result.
fn share(arguments: &Explain, context: Context) -> Result<()> {
    let Some(source) = &arguments.image else {
        return Err(
            Usage("--distributed: a folder, a list or an address stands in the place of the image".to_owned()).into()
        );
    };
    let out = &arguments.place.fixed(&name_of(source), "explain");
    let job = Job {
        command: "explain",
        source: source.display().to_string(),
        out,
        options: json!({
            "model": format!("{:?}", arguments.model),
            "methods": arguments.method.0.iter().map(|method| method.name()).collect::<Vec<_>>(),
            "class": arguments.class,
            "settings": format!(
                "{:?}",
                (
                    (&arguments.layer, arguments.baseline, arguments.noise, arguments.samples, arguments.masks),
                    (arguments.patch, arguments.stride, arguments.epsilon, arguments.seed),
                )
            ),
        }),
    };
    job.share(context, |context, ask| {
        let about = || arguments.model.model.clone();
        let model = open_model(&arguments.model.spec(IncludeTop::Needed), context)?;
        let mut explainer = Explainer::new(&model, &settings(arguments, context)).with_context(about)?;
        let preprocessing = model.preprocessing().with_context(about)?;
        let wanted = arguments.class.as_deref().map(|text| find_class(&model, text)).transpose().with_context(about)?;
        let methods = methods(arguments, &model, context)?;
        let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
        ask(&mut |image, place| {
            preprocessing.apply(image, &mut input)?;
            let probabilities = explainer.probabilities(&input)?;
            let (predicted, _) = explainer.predict(&input)?;
            let class = wanted.unwrap_or(predicted);
            let mut explained = Vec::new();
            for &method in &methods {
                let map = explainer.explain(&input, class, method)?;
                let faithfulness = explainer.faithfulness(&input, &map)?;
                explained.push(Explained { map, faithfulness });
            }
            let meant = named(&model, explainer.outputs(), class, probabilities[class]);
            let sheet = place.ready("png")?;
            comparison(&preprocessing.to_image(&input)?, &meant, &explained)?.save_png(&sheet)?;
            answer(&SharedResultJson {
                class: model.class_name(class),
                found: ExplainedOutput::new(&model, explainer.outputs(), class, &probabilities),
                digit_found: preprocessing.finds_digit(&input),
                methods: explained.into_iter().map(explanation_json).collect(),
                sheet: sheet.strip_prefix(out).unwrap_or(&sheet),
            })
        })
    })
}

pub(super) fn run(arguments: &Explain, context: Context) -> Result<()> {
    if arguments.bulk.distributed.is_some() {
        return share(arguments, context);
    }
    refuse_folder(arguments.image.as_deref())?;
    let is_class = |text: &str| !text.contains(['.', '/', '\\']);
    refuse_class_for_names(arguments.model.meaning.classes.as_deref(), is_class)?;
    let model = open_model(&arguments.model.spec(IncludeTop::Needed), context)?;
    let settings = settings(arguments, context);
    let about = || arguments.model.model.clone();
    // Report problems with the model or the class before reading images.
    let explainer = Explainer::new(&model, &settings).with_context(about)?;
    model.preprocessing().with_context(about)?;
    let class = arguments.class.as_deref().map(|text| find_class(&model, text)).transpose().with_context(about)?;
    let methods = methods(arguments, &model, context)?;
    drop(explainer);
    let explanation = Explanation { arguments, model: &model, settings, methods, class, context };
    let mut printed = Vec::new();
    let explained = for_each_image(arguments, context, |one| {
        printed.extend(explanation.explain(one)?);
        if interrupt::is_requested() { Err(lucida::Error::Interrupted.into()) } else { Ok(()) }
    });
    if arguments.place.json && (explained.is_ok() || !printed.is_empty()) {
        context.output.json_of_images(&printed)?;
    }
    explained
}

/// An image to explain, and the output folder for its maps.
struct ImageJob {
    name: String,
    /// Its name in messages.
    title: String,
    /// Its class, if it comes from a labeled data set.
    label: Option<String>,
    image: Image,
    out: PathBuf,
}

/// What all images have in common.
struct Explanation<'a> {
    arguments: &'a Explain,
    model: &'a Model,
    settings: ExplainConfig,
    methods: Vec<Method>,
    class: Option<usize>,
    context: Context,
}

impl<'a> Explanation<'a> {
    /// Explains one image. Returns the JSON to print, with `--json`.
    fn explain(&self, ImageJob { name, title, label, image, out }: ImageJob) -> Result<Option<String>> {
        let Self { arguments, model, settings, methods, context, .. } = self;
        let output = context.output;
        let mut explainer = Explainer::new(model, settings).with_context(|| self.about())?;
        let input = self.read(&image, &name)?;
        drop(image);
        let names = file_names(arguments, methods);
        let claimed: Vec<&str> = names.iter().map(String::as_str).collect();
        let earlier = files::claim_folder(&out, &claimed, arguments.place.force)?;
        interrupt::catch()?;

        let prediction = self.predict(&mut explainer, &input)?;
        let class = prediction.class;
        let bar = RefCell::new(Bar::new(output));
        let explainer = explainer.progress(|step: &Step<'_>| bar.borrow_mut().update(step));
        if !arguments.place.json {
            output.line(&format!("{title}: {}", prediction.text()))?;
            output.result(&format!("\n{:<20}  {:>8}  {:>9}", "method", "deletion", "insertion"))?;
        }
        let explained = self.explain_class(explainer, &input, class, &bar)?;
        // After an interrupt, only the first methods have a map.
        let methods = &methods[..explained.len()];
        let mut names = file_names(arguments, methods);
        let preprocessing = model.preprocessing()?;
        let seen = preprocessing.to_image(&input)?;
        comparison(&seen, &prediction.explained(), &explained)?.save_png(out.join(&names[0]))?;
        if arguments.npy {
            explained.iter().try_for_each(|one| save_raw(&out, &one.map))?;
        }
        let checks = self.check(&input, class, methods, &bar)?;
        bar.borrow().hide();
        if let Some(checks) = &checks {
            sanity_strips(&seen, checks)?.save_png(out.join(CHECK))?;
            if !arguments.place.json {
                output.result(&table(checks))?;
            }
        }
        names.retain(|name| name != CHECK || checks.is_some());
        earlier.discard()?;
        if arguments.place.json {
            return as_json(&ExplainJson {
                model: &arguments.model.model,
                image: &name,
                label,
                class: model.class_name(class),
                class_number: class,
                found: ExplainedOutput::new(model, &prediction.outputs, class, &prediction.probabilities),
                digit_found: preprocessing.finds_digit(&input),
                methods: explained.into_iter().map(explanation_json).collect(),
                check: checks.map(|checks| checks.into_iter().map(sanity_check_json).collect()),
                folder: out.display().to_string(),
                files: names,
            })
            .map(Some);
        }
        output.info(&format!("\nWritten to {}: {}", out.display(), names.join(", ")));
        Ok(None)
    }

    /// Runs the sanity check with randomized weights, if requested and not interrupted.
    fn check(
        &self,
        input: &[f32],
        class: usize,
        methods: &[Method],
        bar: &RefCell<Bar>,
    ) -> Result<Option<Vec<SanityCheck>>> {
        if !self.arguments.check || interrupt::is_requested() {
            return Ok(None);
        }
        match sanity_check(self.model, input, class, methods, &self.settings, &mut *bar.borrow_mut()) {
            Err(lucida::Error::Interrupted) => Ok(None),
            checks => Ok(Some(checks?)),
        }
    }

    /// The context for errors about the model.
    fn about(&self) -> String {
        self.arguments.model.model.clone()
    }

    /// Preprocesses an image; prints a note if a digit model finds no digit.
    fn read(&self, image: &Image, name: &str) -> Result<Vec<f32>> {
        let preprocessing = self.model.preprocessing().with_context(|| self.about())?;
        let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
        preprocessing.apply(image, &mut input).with_context(|| name.to_owned())?;
        if !preprocessing.finds_digit(&input) {
            note_blank(name, self.context);
        }
        Ok(input)
    }

    fn predict(&self, explainer: &mut Explainer, input: &[f32]) -> Result<Prediction<'a>> {
        let probabilities = explainer.probabilities(input)?;
        let (predicted, _) = explainer.predict(input)?;
        let class = self.class.unwrap_or(predicted);
        Ok(Prediction { model: self.model, outputs: explainer.outputs().clone(), probabilities, predicted, class })
    }

    /// Computes and prints the map and the faithfulness of each method. If interrupted, returns those of the methods
    /// finished so far.
    fn explain_class(
        &self,
        mut explainer: Explainer,
        input: &[f32],
        class: usize,
        bar: &RefCell<Bar>,
    ) -> Result<Vec<Explained>> {
        let mut explained = Vec::new();
        for &method in &self.methods {
            let one = explainer.explain(input, class, method).and_then(|map| {
                let faithfulness = explainer.faithfulness(input, &map)?;
                Ok(Explained { map, faithfulness })
            });
            let one = match one {
                Err(lucida::Error::Interrupted) if !explained.is_empty() => break,
                one => one.with_context(|| self.about())?,
            };
            bar.borrow().hide();
            if !self.arguments.place.json {
                self.context.output.result(&row(&one))?;
            }
            explained.push(one);
        }
        Ok(explained)
    }
}

/// The prediction, and the class that is explained.
struct Prediction<'a> {
    model: &'a Model,
    outputs: Outputs,
    probabilities: Vec<f32>,
    predicted: usize,
    class: usize,
}

impl Prediction<'_> {
    /// The explained class with its probability.
    fn explained(&self) -> String {
        named(self.model, &self.outputs, self.class, self.probabilities[self.class])
    }

    /// The explained class, and the predicted one if it differs. For regression, only the explained value.
    fn text(&self) -> String {
        let Self { model, outputs, probabilities, predicted, class } = self;
        match predicted == class || outputs.kind() == OutputKind::Values {
            true => self.explained(),
            false => {
                let predicted = named(model, outputs, *predicted, probabilities[*predicted]);
                format!("{}, predicted {predicted}", self.explained())
            }
        }
    }
}

/// A class or label with its probability, or a value.
fn named(model: &Model, outputs: &Outputs, class: usize, found: f32) -> String {
    let name = model.class_name(class);
    match outputs.kind() {
        OutputKind::Values => format!("value {name}: {found:.4}"),
        _ => format!("{name} ({})", percent(found)),
    }
}

fn settings(arguments: &Explain, context: Context) -> ExplainConfig {
    ExplainConfig {
        cpu: context.cpu,
        seed: arguments.seed,
        layer: arguments.layer.clone(),
        baseline: arguments.baseline,
        noise: arguments.noise,
        samples: arguments.samples,
        masks: arguments.masks,
        patch: arguments.patch,
        stride: arguments.stride,
        epsilon: arguments.epsilon,
        ..ExplainConfig::default()
    }
}

/// The requested methods; for `all`, those that the network supports.
fn methods(arguments: &Explain, model: &Model, context: Context) -> Result<Vec<Method>> {
    let mut methods = arguments.method.0.clone();
    let layer = spatial_layer(&model.network, arguments.layer.as_deref());
    if let Err(error) = layer {
        if arguments.layer.is_some() || methods.len() < Method::ALL.len() && methods.iter().any(|m| m.is_of_layer()) {
            return Err(error).with_context(|| arguments.model.model.clone());
        }
        if methods.iter().any(|method| method.is_of_layer()) {
            context.output.note(&format!("{error}; such maps are left out"));
            methods.retain(|method| !method.is_of_layer());
        }
    }
    Ok(methods)
}

/// Calls `each` on every image of the command line.
fn for_each_image(arguments: &Explain, context: Context, mut each: impl FnMut(ImageJob) -> Result<()>) -> Result<()> {
    let about = about_image(arguments.image.as_deref(), arguments.data.as_ref(), arguments.index.as_ref());
    let out = &arguments.place.of(&about, "explain");
    if let (Some(source), Some(indices)) = (&arguments.data, &arguments.index) {
        let images = ImageSet::list(source, context)?;
        return places(&images, indices, out)?.into_iter().try_for_each(|(index, out)| {
            let image = images.image(index)?;
            let (name, label) = (images.name(index), images.label(index).map(str::to_owned));
            let title = match &label {
                Some(label) if !images.are_digits() => format!("{name} (labeled {label})"),
                _ => images.title(index),
            };
            each(ImageJob { name, title, label, image, out })
        });
    }
    let Some(path) = &arguments.image else { bail!("there is no image to explain") };
    let name = path.display().to_string();
    each(ImageJob { title: name.clone(), name, label: None, image: Image::open(path)?, out: out.clone() })
}

/// The files to write; first the sheet, or the image of the only method.
fn file_names(arguments: &Explain, methods: &[Method]) -> Vec<String> {
    let mut names = vec![match methods {
        [method] => format!("{method}.png"),
        _ => SHEET.to_owned(),
    }];
    if arguments.npy {
        names.extend(methods.iter().map(|method| format!("{method}.npy")));
    }
    if arguments.check {
        names.push(CHECK.to_owned());
    }
    names
}

/// Saves a single-channel map as (height, width), others as (height, width, channels).
fn save_raw(folder: &Path, map: &HeatMap) -> lucida::Result<()> {
    let shape = if map.raw_shape[2] == 1 { &map.raw_shape[..2] } else { &map.raw_shape[..] };
    files::write_npy(folder.join(format!("{}.npy", map.method)), shape, &map.raw)
}

/// The table row of a method: faithfulness scores and a remark.
fn row(Explained { map, faithfulness }: &Explained) -> String {
    let (deletion, insertion) = (faithfulness.deletion_area(), faithfulness.insertion_area());
    let remark = match &map.completeness {
        _ if map.flat_reason().is_some() => map.flat_reason().unwrap_or_default().to_owned(),
        CompletenessCheck::Layer(layer) => format!("of {layer}"),
        CompletenessCheck::Completeness { sum, difference, .. } => format!("completeness: {sum:.4} of {difference:.4}"),
        check if check.warning().is_some() => check.warning().unwrap_or_default(),
        // Rounded numbers would seem to add up to the score, and hide that the map covers only a small part of it.
        CompletenessCheck::Conservation { score, inputs, .. } if inputs.abs() < 0.1 * score.abs() => {
            format!(
                "{:.1} % of the score of {score:.4} reaches the pixels, the rest stays with biases",
                100.0 * inputs / score
            )
        }
        CompletenessCheck::Conservation { score, inputs, biases } => {
            format!("conservation: {inputs:.4} on pixels, {biases:.4} on biases, of {score:.4}")
        }
        _ => String::new(),
    };
    format!("{:<20}  {deletion:>8.3}  {insertion:>9.3}  {remark}", map.method.name()).trim_end().to_owned()
}

/// The table of the sanity check: similarity of each map to the original as the weights are randomized.
fn table(checks: &[SanityCheck]) -> String {
    let mut text =
        "\nRandom weights from the top down, and what is left of each map: its rank correlation with that of the\n\
                    trained network, that of the magnitudes, and the structural similarity\n"
            .to_owned();
    let width = checks
        .iter()
        .flat_map(|check| &check.stages)
        .map(|stage| stage.layer.chars().count())
        .max()
        .unwrap_or(0)
        .max(18);
    for check in checks {
        text += &format!("\n{:<1$}    rank  |rank|    SSIM\n", check.original.method.name(), width + 2);
        for stage in &check.stages {
            text += &format!(
                "  {:<width$}  {:>6.3}  {:>6.3}  {:>6.3}\n",
                stage.layer, stage.rank_correlation, stage.rank_correlation_of_magnitudes, stage.structural_similarity
            );
        }
        if check.is_suspicious() {
            text += "  much the same with random weights: it shows the image more than what was learned\n";
        }
    }
    text.trim_end().to_owned()
}

fn explanation_json(Explained { map, faithfulness }: Explained) -> ExplanationJson {
    let remark = map.flat_reason().map(str::to_owned).or_else(|| map.completeness.warning());
    let (layer, sum) = match map.completeness {
        CompletenessCheck::Layer(layer) => (Some(layer), None),
        CompletenessCheck::Completeness { sum, difference, .. } => {
            (None, Some(CompletenessJson { pixels: sum, biases: 0.0, expected: difference }))
        }
        CompletenessCheck::Conservation { score, inputs, biases } => {
            (None, Some(CompletenessJson { pixels: inputs, biases, expected: score }))
        }
        _ => (None, None),
    };
    ExplanationJson {
        method: map.method.name(),
        score: map.score,
        deletion_area: faithfulness.deletion_area(),
        insertion_area: faithfulness.insertion_area(),
        deletion: faithfulness.deletion,
        insertion: faithfulness.insertion,
        layer,
        remark,
        sum,
    }
}

fn sanity_check_json(check: SanityCheck) -> SanityCheckJson {
    SanityCheckJson {
        method: check.original.method.name(),
        suspicious: check.is_suspicious(),
        stages: check
            .stages
            .into_iter()
            .map(|stage| SanityStageJson {
                layer: stage.layer,
                rank_correlation: stage.rank_correlation,
                rank_correlation_of_magnitudes: stage.rank_correlation_of_magnitudes,
                structural_similarity: stage.structural_similarity,
            })
            .collect(),
    }
}
