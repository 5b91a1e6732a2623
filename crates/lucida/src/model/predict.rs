//! Predictions of a model for images: a class, labels, or values.

use crate::core::progress::report;
use crate::core::{Progress, Step, Unit};
use crate::data::{Dataset, Image, Loader, Preprocessing};
use crate::nn::{Inference, Network, Plan};
use crate::weights::{Model, OutputKind, Outputs, check_finite, is_finite};
use crate::{Cpu, Error, Result};

/// Images per batch.
const BATCH: usize = 32;

/// A label is assigned when its probability is at least this.
pub const LABEL_THRESHOLD: f32 = 0.5;

/// The prediction of a classifier for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The most probable class or label.
    pub class: usize,
    /// Its probability.
    pub probability: f32,
    /// The probability of each class or label.
    pub probabilities: Vec<f32>,
}

/// The prediction of a model for one image, by the kind of its [outputs](Outputs).
#[derive(Debug, Clone, PartialEq)]
pub enum Predicted {
    /// One of several exclusive classes.
    Class(Prediction),
    /// Any number of labels: see [`Prediction::labels`].
    Labels(Prediction),
    /// Values of a regression.
    Values(Vec<f32>),
}

impl Prediction {
    /// The assigned labels, most probable first: those with a probability of at least [`LABEL_THRESHOLD`].
    pub fn labels(&self) -> Vec<usize> {
        self.ranking().into_iter().filter(|&label| self.probabilities[label] >= LABEL_THRESHOLD).collect()
    }

    /// All classes or labels, most probable first; of equal ones, the lower index first.
    pub fn ranking(&self) -> Vec<usize> {
        let mut ranking: Vec<usize> = (0..self.probabilities.len()).collect();
        ranking.sort_by(|&a, &b| self.probabilities[b].total_cmp(&self.probabilities[a]));
        ranking
    }
}

impl Predicted {
    /// Interprets one row of a network's output.
    fn of(outputs: &Outputs, row: &[f32]) -> Self {
        let probabilities = outputs.read(row);
        if outputs.kind() == OutputKind::Values {
            return Self::Values(probabilities);
        }
        let class = outputs.best(&probabilities);
        let prediction = Prediction { class, probability: probabilities[class], probabilities };
        match outputs.kind() {
            OutputKind::Labels => Self::Labels(prediction),
            _ => Self::Class(prediction),
        }
    }
}

/// Runs a model on images of any size, with the model's preprocessing.
///
/// ```
/// use lucida::model::predict;
/// use lucida::prelude::*;
///
/// let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
/// let predicted = predict(&model, &[Image::filled(28, 28, &[0])], Cpu::detect())?;
/// let Predicted::Class(found) = &predicted[0] else { panic!("a softmax predicts a class") };
/// assert_eq!(found.ranking()[0], found.class);
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// As [`Outputs::of`]; [`Error::Argument`] when the model has no preprocessing; those of preprocessing an image.
pub fn predict(model: &Model, images: &[Image], cpu: Cpu) -> Result<Vec<Predicted>> {
    let mut predictor = Predictor::new(model, images.len().min(BATCH), cpu)?;
    let mut predictions = Vec::with_capacity(images.len());
    for images in images.chunks(BATCH) {
        let batch = predictor.batch(images.len(), |preprocessing, input| {
            let image_len: usize = preprocessing.output_shape().iter().product();
            let mut pairs = images.iter().zip(input.chunks_exact_mut(image_len));
            pairs.try_for_each(|(image, input)| preprocessing.apply(image, input))
        })?;
        for predicted in batch {
            predictions.push(predicted?);
        }
    }
    Ok(predictions)
}

/// Runs a model on the images of a data set at these indices, and passes each prediction to `each` with its index. Memory
/// use does not depend on the number of images.
///
/// ```
/// use lucida::model::predict_set;
/// use lucida::prelude::*;
///
/// let digits = Mnist::builtin()?.train;
/// let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
/// let mut images = Vec::new();
/// predict_set(&model, &digits, &[3, 1, 4], Cpu::detect(), |index, _predicted| {
///     images.push(index);
///     Ok(())
/// })?;
/// assert_eq!(images, [3, 1, 4]);
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// As [`predict`]; [`Error::Argument`] for an index out of range; those of reading the set, and of `each`.
pub fn predict_set(
    model: &Model,
    set: &dyn Dataset,
    indices: &[usize],
    cpu: Cpu,
    mut each: impl FnMut(usize, Predicted) -> Result<()>,
) -> Result<()> {
    let mut predictor = Predictor::new(model, indices.len().min(BATCH), cpu)?;
    let preprocessing = predictor.preprocessing;
    Loader::new(set, preprocessing).threads(cpu.threads()).each(indices, BATCH, |batch| {
        let predictions = predictor.batch(batch.indices.len(), |_, input| {
            input.copy_from_slice(batch.images);
            Ok(())
        })?;
        for (&index, predicted) in batch.indices.iter().zip(predictions) {
            each(index, predicted?)?;
        }
        Ok(true)
    })?;
    Ok(())
}

/// A model prepared for running repeatedly on images or batches.
///
/// ```
/// use lucida::model::Predictor;
/// use lucida::prelude::*;
///
/// let digits = Mnist::builtin()?.train;
/// let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
/// let mut predictor = Predictor::of_one(&model, Cpu::detect())?;
/// for index in 0..3 {
///     let Predicted::Class(found) = predictor.predict(&digits.image(index)?)? else { continue };
///     assert!((found.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
/// }
/// # Ok::<(), lucida::Error>(())
/// ```
pub struct Predictor<'a> {
    network: &'a Network,
    preprocessing: &'a Preprocessing,
    outputs: Outputs,
    inference: Inference<'a>,
}

impl<'a> Predictor<'a> {
    /// Creates a predictor for batches of up to this size. The prediction for an image does not depend, to the bit, on the
    /// other images in its batch or on the batch size.
    ///
    /// # Errors
    /// As [`predict`].
    pub fn new(model: &'a Model, batch_size: usize, cpu: Cpu) -> Result<Self> {
        let outputs = Outputs::of(model)?;
        let preprocessing = model.preprocessing()?;
        let plan = Plan::builder(&model.network).cpu(cpu).batch_size(batch_size.max(1)).output(outputs.point());
        Ok(Self { network: &model.network, preprocessing, outputs, inference: Inference::new(plan)? })
    }

    /// Creates a predictor for one image at a time.
    ///
    /// # Errors
    /// As [`predict`].
    pub fn of_one(model: &'a Model, cpu: Cpu) -> Result<Self> {
        Self::new(model, 1, cpu)
    }

    /// Runs the model on an image of any size.
    ///
    /// # Errors
    /// Those of preprocessing it.
    pub fn predict(&mut self, image: &Image) -> Result<Predicted> {
        let mut found = self.batch(1, |preprocessing, input| preprocessing.apply(image, input))?;
        found.next().expect("one image has one prediction")
    }

    /// Runs the model on [preprocessed](Preprocessing::apply) images, each `[height, width, channels]`. A failure for one
    /// image, such as an output that is not finite, does not affect the others in the batch.
    ///
    /// # Errors
    /// [`Error::Argument`] when an image does not have the network's input shape.
    ///
    /// # Panics
    /// When there are no images, or more than the [batch size](Self::new).
    pub fn predict_prepared(&mut self, images: &[impl AsRef<[f32]>]) -> Result<Vec<Result<Predicted>>> {
        let found = self.batch(images.len(), |preprocessing, input| {
            let image_len: usize = preprocessing.output_shape().iter().product();
            if let Some(other) = images.iter().map(AsRef::as_ref).find(|image| image.len() != image_len) {
                let got = other.len();
                return Err(Error::argument(format!("an image of {got} values for a network that takes {image_len}")));
            }
            let pairs = images.iter().zip(input.chunks_exact_mut(image_len));
            pairs.for_each(|(image, input)| input.copy_from_slice(image.as_ref()));
            Ok(())
        })?;
        Ok(found.collect())
    }

    /// Runs the model on preprocessed inputs, `[count, height, width, channels]`, in batches.
    ///
    /// ```
    /// use lucida::model::Predictor;
    /// use lucida::prelude::*;
    ///
    /// let model = Model::new(applications::mnist_cnn(42)?).with_preprocessing(Preprocessing::mnist());
    /// let predicted = Predictor::new(&model, 2, Cpu::detect())?.predict_inputs(&[0.5; 3 * 28 * 28], &mut ())?;
    /// assert_eq!(predicted.len(), 3);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] when the length is not a multiple of the input's; [`Error::Interrupted`] when `progress`, called
    /// after each batch, requests a stop.
    pub fn predict_inputs(&mut self, inputs: &[f32], progress: &mut dyn Progress) -> Result<Vec<Predicted>> {
        let len = self.network.input_shape()?.len();
        if !inputs.len().is_multiple_of(len) {
            return Err(Error::argument(format!("{} values are not inputs of {len} values each", inputs.len())));
        }
        let mut predictions = Vec::with_capacity(inputs.len() / len);
        for chunk in inputs.chunks(self.inference.batch_size() * len) {
            let found = self.batch(chunk.len() / len, |_, input| {
                input.copy_from_slice(chunk);
                Ok(())
            })?;
            predictions.extend(found.collect::<Result<Vec<_>>>()?);
            report(progress, &Step::new(Unit::Images, predictions.len(), inputs.len() / len))?;
        }
        Ok(predictions)
    }

    fn batch(
        &mut self,
        count: usize,
        fill: impl FnOnce(&Preprocessing, &mut [f32]) -> Result<()>,
    ) -> Result<impl Iterator<Item = Result<Predicted>>> {
        let len = self.network.input_shape()?.len().max(1);
        // Checked before the forward pass, which may reuse the input's memory for activations.
        let mut finite = Vec::with_capacity(count);
        let rows = self.inference.batch(count, |input| {
            fill(self.preprocessing, input)?;
            finite.extend(input.chunks_exact(len).map(is_finite));
            Ok(())
        })?;
        Ok(rows.zip(finite).map(|(row, finite)| {
            check_finite(self.network, row, finite)?;
            Ok(Predicted::of(&self.outputs, row))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ColorMode, Preprocessing};
    use crate::nn::applications::{self, Options};
    use crate::nn::layers::{ActivationKind, Dense, Flatten};
    use crate::weights::Task;

    /// A model with these outputs before the activation, for any image.
    fn model(scores: &[f32], activation: ActivationKind, task: Option<Task>) -> Model {
        let layers = [Flatten::new().into(), Dense::new(scores.len()).activation(activation).into()];
        let mut network = Network::sequential("small", [2, 2, 3], layers, 1).unwrap();
        network.weights_mut()[0].values_mut().fill(0.0);
        network.weights_mut()[1].values_mut().copy_from_slice(scores);
        Model { preprocessing: Some(Preprocessing::unit(2, 2, ColorMode::Rgb)), task, ..Model::new(network) }
    }

    fn predicted(scores: &[f32], activation: ActivationKind, task: Option<Task>) -> Result<Predicted> {
        let image = Image::new(5, 4, ColorMode::Rgb.channels(), vec![9; 60]).unwrap();
        let model = model(scores, activation, task);
        let found = predict(&model, std::slice::from_ref(&image), Cpu::detect())?;
        assert_eq!(Predictor::of_one(&model, Cpu::detect())?.predict(&image)?, found[0]);
        Ok(found[0].clone())
    }

    /// A table of confident NaN predictions would be believed.
    #[test]
    fn outputs_that_are_not_finite_are_refused_with_their_cause() {
        use ActivationKind::{Linear, Softmax};
        for (scores, activation, task) in [
            ([f32::NAN, 1.0], Softmax, None),
            ([f32::INFINITY, 1.0], Softmax, None),
            ([f32::NAN, 1.0], Linear, Some(Task::Regress)),
        ] {
            let message = predicted(&scores, activation, task).unwrap_err().to_string();
            assert!(message.contains("layer dense is the first") && message.contains("dense/bias"), "{message}");
        }
        let mut model = model(&[f32::MAX; 2], Linear, Some(Task::Regress));
        model.network.weights_mut()[0].values_mut().fill(f32::MAX);
        let message = model.predict(&[Image::filled(2, 2, &[255; 3])]).unwrap_err().to_string();
        assert!(message.contains("the input and all weights are finite"), "{message}");
        let explained = crate::explain::Explainer::new(&model, &crate::explain::ExplainConfig::default());
        assert!(explained.unwrap().probabilities(&[1.0; 12]).is_err());
    }

    /// The error blames the input, not the weights; in a batch, only the image that has it fails.
    #[test]
    fn an_input_that_is_not_finite_is_named() {
        let model = model(&[0.5, 1.0], ActivationKind::Softmax, None);
        let mut explainer = crate::explain::Explainer::new(&model, &crate::explain::ExplainConfig::default()).unwrap();
        for value in [f32::NAN, f32::INFINITY] {
            let (good, mut bad) = (vec![1.0; 12], vec![1.0; 12]);
            bad[5] = value;
            let mut predictor = Predictor::new(&model, 2, Cpu::detect()).unwrap();
            let found = predictor.predict_prepared(&[&good, &bad]).unwrap();
            assert!(found[0].is_ok());
            for problem in [found[1].as_ref().unwrap_err(), &explainer.probabilities(&bad).unwrap_err()] {
                assert!(problem.to_string().starts_with("the input contains NaN or infinity"), "{problem}");
            }
        }
    }

    #[test]
    fn every_kind_of_output_is_answered() {
        use ActivationKind::{Linear, Relu, Sigmoid, Softmax};
        let Ok(Predicted::Labels(labels)) = predicted(&[0.5, -2.0, 1.5], Sigmoid, None) else { panic!("no labels") };
        assert_eq!((labels.labels(), labels.class, labels.ranking()), (vec![2, 0], 2, vec![2, 0, 1]));
        assert!((labels.probability - 0.817_574_5).abs() < 1e-6);
        let Ok(Predicted::Labels(none)) = predicted(&[-1.0, -2.0], Sigmoid, None) else { panic!("no labels") };
        assert_eq!((none.labels(), none.class), (vec![], 0));
        // A probability of exactly one half assigns the label.
        let Ok(Predicted::Labels(half)) = predicted(&[0.0, -2.0], Sigmoid, None) else { panic!("no labels") };
        assert_eq!(half.labels(), [0]);
        assert_eq!(predicted(&[0.25], Linear, Some(Task::Regress)).unwrap(), Predicted::Values(vec![0.25]));
        assert_eq!(predicted(&[0.25, -3.0], Linear, Some(Task::Regress)).unwrap(), Predicted::Values(vec![0.25, -3.0]));
        assert_eq!(predicted(&[7.5], Relu, None).unwrap(), Predicted::Values(vec![7.5]));
        for activation in [Softmax, Linear] {
            let Ok(Predicted::Class(class)) = predicted(&[0.0, 3.0_f32.ln()], activation, None) else {
                panic!("no class")
            };
            assert_eq!(class.class, 1);
            assert!((class.probability - 0.75).abs() < 1e-6, "{class:?}");
        }
        let message = predicted(&[1.0, 2.0], Relu, None).unwrap_err().to_string();
        assert_eq!(message, "network small ends in 2 features, not in classes");
    }

    /// Batching only affects speed: a server must return the same response when it handles several requests at once.
    #[test]
    fn predictions_do_not_depend_on_the_batch() {
        let noise = |len: usize, seed: usize| {
            (0..len).map(|at| ((at * 31 + seed * 17) % 251) as f32 / 125.0 - 1.0).collect::<Vec<f32>>()
        };
        let options = Options::default().size(64, 64).classes(9).seed(7);
        let networks = [
            applications::mnist_cnn(1),
            applications::mobilenet_v2(&options),
            applications::resnet18(&options),
            applications::vgg16(&options),
        ];
        for network in networks.map(Result::unwrap) {
            let [height, width, channels] = network.input_shape().unwrap().as_image().unwrap();
            let color = if channels == 1 { ColorMode::Grayscale } else { ColorMode::Rgb };
            let preprocessing = Some(Preprocessing::unit(width, height, color));
            let model = Model { preprocessing, ..Model::new(network) };
            let images: Vec<_> = (0..7).map(|seed| noise(height * width * channels, seed)).collect();
            let mut single = Predictor::of_one(&model, Cpu::detect()).unwrap();
            let alone: Vec<Predicted> = images
                .iter()
                .map(|image| single.predict_prepared(std::slice::from_ref(image)).unwrap().remove(0).unwrap())
                .collect();
            let mut batched = Predictor::new(&model, 7, Cpu::detect()).unwrap();
            for size in [1, 2, 3, 5, 7] {
                for (first, images) in images.chunks(size).enumerate() {
                    for (at, found) in batched.predict_prepared(images).unwrap().into_iter().enumerate() {
                        assert_eq!(found.unwrap(), alone[first * size + at], "{} of {size}", model.network.name());
                    }
                }
            }
        }
    }

    #[test]
    fn one_image_of_a_batch_may_fail_alone() {
        let mut model = model(&[0.0, 0.0], ActivationKind::Linear, Some(Task::Regress));
        model.network.weights_mut()[0].values_mut().fill(2.0);
        let mut predictor = Predictor::new(&model, 3, Cpu::detect()).unwrap();
        let images = [vec![1.0; 12], vec![f32::MAX; 12], vec![0.5; 12]];
        let found = predictor.predict_prepared(&images).unwrap();
        assert_eq!(found[0].as_ref().unwrap(), &Predicted::Values(vec![24.0; 2]));
        assert!(found[1].is_err());
        assert_eq!(found[2].as_ref().unwrap(), &Predicted::Values(vec![12.0; 2]));
        assert!(predictor.predict_prepared(&[vec![1.0; 11]]).is_err());
    }
}
