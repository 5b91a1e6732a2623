//! The explanations in the demonstration report: of its network, and of one trained on photos.

use super::DemoResult;
use super::stylized::{self, StylizedCat};
use crate::data::{Dataset, Image, Preprocessing, chelsea};
use crate::explain::maximize::{Fourier, Maximized, Method, Objective, Target, maximize};
use crate::explain::{
    self, ClassScore, DeconvFigure, Deconvnet, Explained, Explainer, MapStyle, TopActivationQuery, activations,
    comparison, overview, projection_sheet, strongest_filters,
};
use crate::model::{Predicted, Prediction, Predictor};
use crate::nn::Network;
use crate::plot::{Cell, Content, Gallery, Grid};
use crate::weights::{Outputs, builtin_classifier, builtin_vgg16_at};
use crate::{Cpu, Error, Result};

/// The layers whose filters are visualized, and the number of filters.
const FILTERS: [(&str, usize); 3] = [("conv2d", 12), ("conv2d_1", 24), ("conv2d_2", 24)];
/// The layer and number of filters in the figure of Zeiler and Fergus.
const FIGURE: (&str, usize) = ("conv2d_2", 4);
/// The attribution methods for digits.
const METHODS: [explain::Method; 6] = [
    explain::Method::IntegratedGradients,
    explain::Method::GradCam,
    explain::Method::GuidedBackprop,
    explain::Method::Occlusion,
    explain::Method::Rise,
    explain::Method::Lrp,
];
/// The attribution methods for the photo, without RISE and occlusion, which need a forward pass for each mask.
const PHOTO_METHODS: [explain::Method; 4] =
    [explain::Method::GradCam, explain::Method::SmoothGrad, explain::Method::GuidedBackprop, explain::Method::Lrp];
/// The layers whose feature maps are shown for the photo, and the layer and number of filters visualized.
const PHOTO_LAYERS: [&str; 3] = ["block1_conv2", "block2_conv2", "block3_conv3"];
const PHOTO_FILTERS: (&str, usize) = ("block3_conv1", 6);

/// The number of steps and the sizes of the generated images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Optimization steps for the image of a class.
    pub class_steps: usize,
    /// Optimization steps for the image of a filter.
    pub filter_steps: usize,
    /// Optimization steps for the image of a filter of VGG16.
    pub photo_steps: usize,
    /// Height of the photo in pixels.
    pub photo_height: usize,
    /// Longer side of the stylized image in pixels.
    pub painting_size: usize,
    /// Optimization steps at each scale of the stylized image.
    pub painting_steps: usize,
}

impl Default for Depth {
    /// Takes about 30 seconds on two cores.
    fn default() -> Self {
        Self {
            class_steps: 320,
            filter_steps: 256,
            photo_steps: 96,
            photo_height: 224,
            painting_size: 300,
            painting_steps: 50,
        }
    }
}

/// The images that explain a network.
#[derive(Debug)]
pub(super) struct Deconstruction {
    classes: Vec<(Maximized, String, f32)>,
    filters: Vec<(&'static str, Vec<Maximized>)>,
    maps: Image,
    explanations: Vec<(String, Image)>,
    figure: Image,
    classified: ClassifiedPhoto,
    photo: Photo,
    stylized: StylizedCat,
}

/// The cat photo and its prediction by the built-in classifier.
#[derive(Debug)]
struct ClassifiedPhoto {
    /// The most probable classes with their probabilities.
    top: Vec<(String, f32)>,
    maps: Image,
}

/// Feature maps and filters of VGG16 for the cat photo.
#[derive(Debug)]
struct Photo {
    maps: Image,
    projections: Image,
    filters: Vec<(usize, Image)>,
}

impl Deconstruction {
    pub(super) const FILES: [&str; 9] = [
        "classes.png",
        "filters.png",
        "activations.png",
        "explanations.png",
        "deconv.png",
        "cat-explained.png",
        "cat-activations.png",
        "cat-deconv.png",
        stylized::FILE,
    ];

    pub(super) fn of(result: &DemoResult, depth: &Depth) -> Result<Self> {
        let cpu = result.config.cpu;
        Ok(Self {
            classes: classes(result, depth, cpu)?,
            filters: filters(result, depth, cpu)?,
            maps: maps(result, cpu)?,
            explanations: explanations(result, cpu)?,
            figure: figure(result, cpu)?,
            classified: ClassifiedPhoto::new(result.config.seed, cpu)?,
            photo: Photo::new(depth, cpu)?,
            stylized: StylizedCat::new(depth, result.config.seed, cpu)?,
        })
    }

    /// The images with their file names.
    pub(super) fn images(&self) -> Result<Vec<(&'static str, Image)>> {
        let classes = self.classes.iter().map(|(found, class, probability)| {
            Cell::new(found.image.clone()).caption(format!("{class}\n{}", percent(*probability)))
        });
        let filters = self.filters.iter().flat_map(|(layer, found)| {
            found
                .iter()
                .enumerate()
                .map(move |(filter, found)| Cell::new(found.image.clone()).caption(format!("{layer}\n{filter}")))
        });
        let sheet = |cells: Vec<Cell>, columns: usize| {
            Grid::new(cells).columns(columns).zoom(3).margin(12).padding(16).render()
        };
        let explanations = self.explanations.iter().map(|(_, image)| Cell::new(image.clone()));
        let images = [
            sheet(classes.collect(), 10)?,
            sheet(filters.collect(), 12)?,
            self.maps.clone(),
            Grid::new(explanations).columns(1).margin(16).render()?,
            self.figure.clone(),
            self.classified.maps.clone(),
            self.photo.maps.clone(),
            self.photo.projections.clone(),
            self.stylized.image.clone(),
        ];
        Ok(Self::FILES.into_iter().zip(images).collect())
    }

    pub(super) fn dreams(&self) -> Result<Content> {
        let intro = "Gradient ascent changes an almost empty image until it maximizes the score of a class. No digit was \
                     used. The images show which patterns the network associates with each class; the number is the \
                     predicted probability.";
        let gallery = self.classes.iter().fold(Gallery::new(3), |gallery, (found, class, probability)| {
            gallery.item(found.image.clone(), format!("{class}\n{}", percent(*probability)), false)
        });
        Content::new().paragraph(intro).gallery(&gallery)
    }

    pub(super) fn filters(&self) -> Result<Content> {
        let intro = "The input that maximizes the activation of each filter. From layer to layer, the patterns grow from \
                     edges to parallel strokes to curves and crossings. The number is the mean of the filter's feature map.";
        let mut content = Content::new().paragraph(intro);
        for (layer, found) in &self.filters {
            let gallery = found.iter().enumerate().fold(Gallery::new(2), |gallery, (filter, found)| {
                let value = if found.value > 0.0 { format!("{:.2}", found.value) } else { "dead".to_owned() };
                gallery.item(found.image.clone(), format!("{filter}\n{value}"), found.value <= 0.0)
            });
            content = content.heading(&format!("Layer {layer}")).gallery(&gallery)?;
        }
        Ok(content)
    }

    pub(super) fn maps(&self) -> Result<Content> {
        let intro = "The first feature maps of each layer for the first held-out digit. A map that is zero everywhere is \
                     hatched.";
        Content::new().paragraph(intro).image(&self.maps, 1, "Feature maps of a digit, one row per layer", "")
    }

    pub(super) fn explanations(&self) -> Result<Content> {
        let intro = "Which pixels contribute to the score of the predicted class, according to several attribution methods. \
                     Each map has two faithfulness scores: the mean class probability while the most important pixels are \
                     deleted (lower is better), and while they are inserted into a blurred image (higher is better).";
        let mut content = Content::new().paragraph(intro);
        for (title, image) in &self.explanations {
            content = content.heading(title).image(image, 1, title, "")?;
        }
        Ok(content)
    }

    pub(super) fn figure(&self) -> Result<Content> {
        let intro = "The nine held-out digits with the highest activations for some filters of the last convolution, \
                     cropped to the receptive field, and next to them the activation projected back to the pixels (the \
                     deconvnet of Zeiler and Fergus, 2014).";
        Content::new().paragraph(intro).image(&self.figure, 1, "Projections of filters and the parts of digits", "")
    }

    pub(super) fn stylized(&self) -> Result<Content> {
        self.stylized.section()
    }

    pub(super) fn classified(&self) -> Result<Content> {
        let top: Vec<String> = self
            .classified
            .top
            .iter()
            .map(|(class, probability)| format!("{class} {}", percent(*probability)))
            .collect();
        let intro = format!(
            "The built-in classifier, EfficientNet-Lite0, was trained on a million photos of 1,000 classes (ImageNet). For a photo \
             of a cat its likeliest classes are: {}. The maps show which pixels contribute to the first; `lucida explain \
             photo.jpg` does this with your own photo.",
            top.join(", ")
        );
        Content::new().paragraph(&intro).image(&self.classified.maps, 1, "Attribution maps of a photo of a cat", "")
    }

    pub(super) fn photo(&self) -> Result<Content> {
        let intro = "The same tools as for the digits, applied to the first three blocks of VGG16, which are built in, and the \
                     photo of the cat.";
        let gallery =
            self.photo.filters.iter().fold(Gallery::new(2), |gallery, (filter, image)| {
                gallery.item(image.clone(), format!("{filter}"), false)
            });
        Content::new()
            .paragraph(intro)
            .image(&self.photo.maps, 1, "Feature maps of a cat in three layers of VGG16", "")?
            .heading("Deconvnet projections")
            .paragraph("The nine filters of block3_conv3 with the highest activations: image patch and projection.")
            .image(&self.photo.projections, 1, "Projections of nine filters next to the parts of the photo", "")?
            .heading("Activation maximization")
            .paragraph("The inputs that maximize the filters of block3_conv1 with the highest activations for the cat.")
            .gallery(&gallery)
    }
}

fn percent(part: f32) -> String {
    format!("{:.1} %", 100.0 * part)
}

fn made(
    network: &Network,
    preprocessing: Option<&Preprocessing>,
    target: &Target,
    channels: &[usize],
    settings: Fourier,
    cpu: Cpu,
) -> Result<Vec<Maximized>> {
    let objectives: Vec<_> = channels.iter().copied().map(Objective::Channel).collect();
    maximize(network, preprocessing, target, &objectives, &Method::Fourier(settings), cpu, &mut ())
}

fn classes(result: &DemoResult, depth: &Depth, cpu: Cpu) -> Result<Vec<(Maximized, String, f32)>> {
    let (network, preprocessing) = (&result.model.network, result.model.preprocessing.as_ref());
    let settings = Fourier { steps: depth.class_steps, ..Fourier::classes(preprocessing) };
    let all: Vec<usize> = (0..Outputs::of(&result.model)?.count()).collect();
    let found = made(network, preprocessing, &Target::classes(&result.model)?, &all, settings, cpu)?;
    let inputs: Vec<&[f32]> = found.iter().map(|found| found.input.as_slice()).collect();
    let probabilities = ClassScore::outputs(&result.model, &inputs, cpu)?;
    let each = found.into_iter().zip(probabilities).enumerate();
    Ok(each.map(|(class, (found, all))| (found, result.class_name(class).to_owned(), all[class])).collect())
}

fn filters(result: &DemoResult, depth: &Depth, cpu: Cpu) -> Result<Vec<(&'static str, Vec<Maximized>)>> {
    let (network, preprocessing) = (&result.model.network, result.model.preprocessing.as_ref());
    let settings = Fourier { steps: depth.filter_steps, ..Fourier::filters(preprocessing) };
    let of = |&(layer, count): &(&'static str, usize)| {
        let channels: Vec<usize> = (0..count).collect();
        Ok((layer, made(network, preprocessing, &Target::layer(layer), &channels, settings.clone(), cpu)?))
    };
    FILTERS.iter().map(of).collect()
}

/// A held-out digit after preprocessing.
fn digit(result: &DemoResult, index: usize) -> Result<Vec<f32>> {
    let preprocessing = result.model.preprocessing()?;
    let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
    result.held_out()?.fill(index, preprocessing, &mut input)?;
    Ok(input)
}

fn maps(result: &DemoResult, cpu: Cpu) -> Result<Image> {
    let network = &result.model.network;
    let spatial = network.nodes().iter().filter(|node| node.shape().as_image().is_some());
    // The first one is the input.
    let layers: Vec<&str> = spatial.skip(1).map(|node| node.name()).collect();
    let style = MapStyle { channels: Some(8), ..MapStyle::default() };
    overview(&activations(network, &layers, &digit(result, 0)?, cpu)?, &style)
}

/// A correctly classified digit, and the most confident mistake.
fn explanations(result: &DemoResult, cpu: Cpu) -> Result<Vec<(String, Image)>> {
    let settings = explain::ExplainConfig { cpu, seed: result.config.seed, masks: 1000, ..Default::default() };
    let mut explainer = Explainer::new(&result.model, &settings)?;
    let held_out = result.held_out()?;
    let wrong = result.evaluation.mistakes(&held_out);
    let right = (0..held_out.len()).find(|index| !wrong.contains(index));
    let mut explanations = Vec::new();
    for index in right.into_iter().chain(wrong.first().copied()) {
        let input = digit(result, index)?;
        let (class, probability) = explainer.predict(&input)?;
        let (is, taken) = (held_out.label(index), result.class_name(class));
        let title = match is == class {
            true => format!("{taken}, classified correctly"),
            false => format!("{}, classified as {taken}", result.class_name(is)),
        };
        let explained = explained(&mut explainer, &input, class, &METHODS)?;
        let seen = result.model.preprocessing()?.to_image(&input)?;
        let meant = format!("{taken} ({})", percent(probability));
        explanations.push((title, comparison(&seen, &meant, &explained)?));
    }
    Ok(explanations)
}

fn explained(
    explainer: &mut Explainer,
    input: &[f32],
    class: usize,
    methods: &[explain::Method],
) -> Result<Vec<Explained>> {
    let of = |&method: &explain::Method| {
        let map = explainer.explain(input, class, method)?;
        let faithfulness = explainer.faithfulness(input, &map)?;
        Ok(Explained { map, faithfulness })
    };
    methods.iter().map(of).collect()
}

fn figure(result: &DemoResult, cpu: Cpu) -> Result<Image> {
    let (layer, count) = FIGURE;
    let network = &result.model.network;
    let digits = result.held_out()?;
    let filters: Vec<usize> = strongest_filters(
        Deconvnet::new(network, layer, 1, cpu)?.activations(network, &digit(result, 0)?)?,
        explain::receptive_field(network, layer)?.layout(),
        count,
    );
    let preprocessing = result.model.preprocessing()?;
    let question = TopActivationQuery { network, preprocessing, layer, filters: &filters, count: 9, cpu };
    DeconvFigure::new(&question, &digits, &mut ())?.render()
}

impl ClassifiedPhoto {
    fn new(seed: u64, cpu: Cpu) -> Result<Self> {
        let cat = chelsea()?;
        let model = builtin_classifier()?;
        let preprocessing = model.preprocessing()?;
        let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
        preprocessing.apply(&cat, &mut input)?;
        let Predicted::Class(predicted) = Predictor::new(&model, 1, cpu)?.predict_inputs(&input, &mut ())?.remove(0)
        else {
            return Err(Error::Bug("the built-in classifier tells no classes".into()));
        };
        let Prediction { class, probabilities, .. } = &predicted;
        let named = |class: usize| (model.class_name(class), probabilities[class]);
        let top = predicted.ranking().into_iter().take(5).map(named).collect();
        let mut explainer = Explainer::new(&model, &explain::ExplainConfig { cpu, seed, ..Default::default() })?;
        let explained = explained(&mut explainer, &input, *class, &PHOTO_METHODS)?;
        let meant = format!("{} ({})", model.class_name(*class), percent(predicted.probability));
        Ok(Self { top, maps: comparison(&preprocessing.to_image(&input)?, &meant, &explained)? })
    }
}

impl Photo {
    fn new(depth: &Depth, cpu: Cpu) -> Result<Self> {
        let cat = chelsea()?;
        let height = depth.photo_height;
        let model = builtin_vgg16_at(height, (cat.width() * height / cat.height()).next_multiple_of(8))?;
        let (network, preprocessing) = (&model.network, model.preprocessing()?);
        let mut input = vec![0.0; network.input_shape()?.len()];
        preprocessing.apply(&cat, &mut input)?;
        let style = MapStyle { channels: Some(6), ..MapStyle::default() };
        let maps = overview(&activations(network, &PHOTO_LAYERS, &input, cpu)?, &style)?;
        let projections = projections(network, preprocessing, &input, cpu)?;

        let (layer, count) = PHOTO_FILTERS;
        let layout = explain::receptive_field(network, layer)?.layout();
        let values = activations(network, &[layer], &input, cpu)?;
        let channels = strongest_filters(&values[0].values, layout, count);
        let small = builtin_vgg16_at(height / 3, height / 3)?;
        let settings = Fourier { steps: depth.photo_steps, ..Fourier::filters(small.preprocessing.as_ref()) };
        let target = Target::layer(layer);
        let found = made(&small.network, small.preprocessing.as_ref(), &target, &channels, settings, cpu)?;
        let filters = channels.into_iter().zip(found.into_iter().map(|found| found.image)).collect();
        Ok(Self { maps, projections, filters })
    }
}

fn projections(network: &Network, preprocessing: &Preprocessing, input: &[f32], cpu: Cpu) -> Result<Image> {
    let layer = PHOTO_LAYERS[2];
    let mut deconvnet = Deconvnet::new(network, layer, 9, cpu)?;
    let layout = deconvnet.field().layout();
    let filters = strongest_filters(deconvnet.activations(network, input)?, layout, 9);
    let targets: Vec<_> = filters.into_iter().map(|filter| explain::Target { filter, position: None }).collect();
    let projected = deconvnet.project(network, &vec![input; targets.len()], &targets)?;
    projection_sheet(input, &projected, deconvnet.field(), preprocessing)
}
