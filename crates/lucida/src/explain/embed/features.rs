//! Features of images: the output of a layer.

use std::path::Path;

use crate::core::progress::{Progress, Step, Unit, report};
use crate::data::{Dataset, Image, Loader, Preprocessing};
use crate::files;
use crate::nn::{Inference, Layer, Plan};
use crate::weights::{Model, Outputs};
use crate::{Cpu, Error, Result};

/// The maximum size of the features: 2 GiB.
const LIMIT: u64 = 2 << 30;
/// The maximum number of input values in a batch: 32 photos of 150x150.
const VALUES: usize = 1 << 21;
const BATCH: usize = 256;

/// The features of images at one layer, a row for each image.
///
/// ```
/// use lucida::explain::embed::Features;
///
/// // Three images, two features each.
/// let features = Features::new("dense", 2, vec![1.0, 0.0, 0.0, 1.0, 3.0, 0.1])?;
/// let nearest = features.nearest(&[1.0, 0.0], 2)?;
/// assert_eq!((nearest[0].0, nearest[1].0), (0, 2));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    layer: String,
    pooled: bool,
    width: usize,
    values: Vec<f32>,
}

impl Features {
    /// Features from another source: rows of `width` values.
    ///
    /// # Errors
    /// [`Error::Argument`] when the values are not a multiple of `width`, or one is not finite.
    pub fn new(layer: impl Into<String>, width: usize, values: Vec<f32>) -> Result<Self> {
        let layer = layer.into();
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(Error::argument(format!(
                "{} values are not a whole number of rows of {width} features",
                values.len()
            )));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Error::argument(format!("layer {layer}: a feature is not a finite number")));
        }
        Ok(Self { layer, pooled: false, width, values })
    }

    /// The layer that the features come from.
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// Whether the features are spatial means of channels, rather than values of the layer itself.
    pub fn are_pooled(&self) -> bool {
        self.pooled
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The number of features per image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All features in row-major order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The features of one image.
    ///
    /// # Panics
    /// When the index is out of range.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..(index + 1) * self.width]
    }

    /// The `count` rows most similar to `row`, most similar first, each with its cosine similarity. Networks encode content
    /// in the direction of a feature vector; its length depends on contrast.
    ///
    /// # Errors
    /// [`Error::Argument`] when `row` has a different width.
    pub fn nearest(&self, row: &[f32], count: usize) -> Result<Vec<(usize, f64)>> {
        if row.len() != self.width {
            let (len, width) = (row.len(), self.width);
            return Err(Error::argument(format!("{len} features cannot be compared with rows of {width}")));
        }
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let length = dot(row, row).sqrt();
        let mut all: Vec<(usize, f64)> = (0..self.len())
            .map(|index| {
                let other = self.row(index);
                let lengths = length * dot(other, other).sqrt();
                (index, if lengths > 0.0 { dot(row, other) / lengths } else { 0.0 })
            })
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(count);
        Ok(all)
    }

    /// Writes the features as a NumPy array, `[images, features]`.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn save_npy(&self, path: impl AsRef<Path>) -> Result<()> {
        files::write_npy(path, &[self.len(), self.width], &self.values)
    }

    /// Writes the features as comma-separated values: a row for each image, starting with its name.
    ///
    /// # Errors
    /// [`Error::Argument`] when the number of names differs, [`Error::Io`] when the file cannot be written.
    pub fn save_csv(&self, names: &[String], path: impl AsRef<Path>) -> Result<()> {
        if names.len() != self.len() {
            return Err(Error::argument(format!("{} names for the features of {} images", names.len(), self.len())));
        }
        files::write_atomic(path, |out| {
            write!(out, "file")?;
            (0..self.width).try_for_each(|feature| write!(out, ",f{feature}"))?;
            for (index, name) in names.iter().enumerate() {
                write!(out, "\n{}", files::csv_field(name))?;
                self.row(index).iter().try_for_each(|value| write!(out, ",{value}"))?;
            }
            writeln!(out)
        })
    }
}

/// The last layer before the output layer: the penultimate features. Dropout, which is the identity in inference, is
/// skipped.
///
/// # Errors
/// [`Error::Unsupported`] when the network does not have exactly one output, or no layer before it.
pub fn last_features(model: &Model) -> Result<&str> {
    let network = &model.network;
    let mut node = network.output()?;
    if Outputs::are_features(model)? {
        return Ok(node.name());
    }
    loop {
        let Some(&before) = node.inputs().first() else {
            return Err(Error::Unsupported(format!("network {} has no layer before its output", network.name())));
        };
        node = &network.nodes()[before];
        if !matches!(node.layer(), Layer::Dropout(_)) {
            return Ok(node.name());
        }
    }
}

/// The features of the images of a data set at these indices: the outputs of `layer`, or the mean of each channel if it has
/// spatial extent.
///
/// ```
/// use lucida::explain::embed::{features, last_features};
/// use lucida::prelude::*;
///
/// let digits = Mnist::builtin()?.train;
/// let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
/// let layer = last_features(&model)?;
/// let found = features(&model, &digits, &[0, 1, 2], layer, Cpu::detect(), &mut ())?;
/// assert_eq!((layer, found.len(), found.width()), ("dense", 3, 128));
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] when the layer or an image does not exist, when the model has no preprocessing, or when a feature is
/// not finite; [`Error::Limit`] when the features exceed 2 GiB; [`Error::Interrupted`] when `progress` requests a stop; and
/// those of reading the set.
pub fn features(
    model: &Model,
    set: &dyn Dataset,
    indices: &[usize],
    layer: &str,
    cpu: Cpu,
    progress: &mut dyn Progress,
) -> Result<Features> {
    let preprocessing = model.preprocessing()?;
    let mut extractor = Extractor::new(model, layer, preprocessing, indices.len(), cpu)?;
    let batch = extractor.inference.batch_size();
    let mut values = Vec::with_capacity(indices.len() * extractor.width);
    Loader::new(set, preprocessing).threads(cpu.threads()).each(indices, batch, |batch| {
        extractor.add(batch.indices.len(), batch.images, &mut values)?;
        report(progress, &Step::new(Unit::Images, values.len() / extractor.width, indices.len())).map(|()| true)
    })?;
    extractor.finish(layer, values)
}

/// The features of images of any size, see [`features`].
///
/// # Errors
/// As [`features`].
pub fn features_of(model: &Model, images: &[Image], layer: &str, cpu: Cpu) -> Result<Features> {
    let preprocessing = model.preprocessing()?;
    let mut extractor = Extractor::new(model, layer, preprocessing, images.len(), cpu)?;
    let image_len: usize = preprocessing.output_shape().iter().product();
    let mut values = Vec::new();
    let mut inputs = vec![0.0; extractor.inference.batch_size() * image_len];
    for images in images.chunks(extractor.inference.batch_size()) {
        let inputs = &mut inputs[..images.len() * image_len];
        for (image, input) in images.iter().zip(inputs.chunks_exact_mut(image_len)) {
            preprocessing.apply(image, input)?;
        }
        extractor.add(images.len(), inputs, &mut values)?;
    }
    extractor.finish(layer, values)
}

/// The features of preprocessed inputs, `[count, height, width, channels]`, see [`features`].
///
/// # Errors
/// As [`features`]; [`Error::Argument`] when the length is not a multiple of the input's.
pub fn features_of_inputs(
    model: &Model,
    inputs: &[f32],
    layer: &str,
    cpu: Cpu,
    progress: &mut dyn Progress,
) -> Result<Features> {
    let len = model.network.input_shape()?.len();
    if !inputs.len().is_multiple_of(len) {
        return Err(Error::argument(format!("{} values are not inputs of {len} values each", inputs.len())));
    }
    let count = inputs.len() / len;
    let mut extractor = Extractor::new(model, layer, model.preprocessing()?, count, cpu)?;
    let mut values = Vec::with_capacity(count * extractor.width);
    for inputs in inputs.chunks(extractor.inference.batch_size() * len) {
        extractor.add(inputs.len() / len, inputs, &mut values)?;
        report(progress, &Step::new(Unit::Images, values.len() / extractor.width, count))?;
    }
    extractor.finish(layer, values)
}

/// A model prepared to compute a layer's features image by image.
pub struct FeatureReader<'a> {
    model: &'a Model,
    layer: String,
    extractor: Extractor<'a>,
}

impl<'a> FeatureReader<'a> {
    /// Prepares a model for one image at a time.
    ///
    /// # Errors
    /// As [`features`].
    pub fn new(model: &'a Model, layer: &str, cpu: Cpu) -> Result<Self> {
        let extractor = Extractor::new(model, layer, model.preprocessing()?, 1, cpu)?;
        Ok(Self { model, layer: layer.to_owned(), extractor })
    }

    /// The features of an image of any size.
    ///
    /// # Errors
    /// As [`features`].
    pub fn read(&mut self, image: &Image) -> Result<Vec<f32>> {
        let preprocessing = self.model.preprocessing()?;
        let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
        preprocessing.apply(image, &mut input)?;
        let mut values = Vec::with_capacity(self.extractor.width);
        self.extractor.add(1, &input, &mut values)?;
        // Refuses values that are not finite.
        Features::new(self.layer.clone(), self.extractor.width, values).map(|features| features.values)
    }
}

/// A model prepared to compute a layer's features in batches.
struct Extractor<'a> {
    inference: Inference<'a>,
    /// The number of positions of a feature map; 1 for a vector.
    area: usize,
    width: usize,
}

impl<'a> Extractor<'a> {
    fn new(model: &'a Model, layer: &str, preprocessing: &Preprocessing, count: usize, cpu: Cpu) -> Result<Self> {
        let node = &model.network.nodes()[model.network.find(layer)?];
        let width = node.shape().channels();
        let bytes = (count as u64).saturating_mul(width as u64).saturating_mul(4);
        if bytes > LIMIT {
            let what = format!("bytes of {count} images' {width} features at layer {layer}");
            return Err(Error::Limit { what, got: bytes, limit: LIMIT });
        }
        let image_len: usize = preprocessing.output_shape().iter().product();
        let batch = (VALUES / image_len.max(1)).clamp(1, BATCH).min(count.max(1));
        let inference = Inference::new(Plan::builder(&model.network).cpu(cpu).batch_size(batch).output(layer))?;
        Ok(Self { inference, area: node.shape().len() / width.max(1), width })
    }

    fn add(&mut self, count: usize, images: &[f32], values: &mut Vec<f32>) -> Result<()> {
        let outputs = self.inference.run(count, images)?;
        let mut sums = vec![0.0_f64; self.width];
        for maps in outputs {
            if self.area == 1 {
                values.extend_from_slice(maps);
                continue;
            }
            sums.fill(0.0);
            for pixel in maps.chunks_exact(self.width) {
                sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            values.extend(sums.iter().map(|sum| (sum / self.area as f64) as f32));
        }
        Ok(())
    }

    fn finish(self, layer: &str, values: Vec<f32>) -> Result<Features> {
        Ok(Features { pooled: self.area > 1, ..Features::new(layer, self.width, values)? })
    }
}
