//! A prediction with class names, as written by `lucida predict --json`, batch jobs and `lucida serve`.

use serde::Serialize;

use super::{Model, Predicted, Prediction};

/// The prediction for an image, ready to be serialized.
///
/// ```
/// use lucida::model::PredictionRecord;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("linear", [28, 28, 1]).add(Flatten::new()).add(Dense::new(2)).build(42)?;
/// let model = Model::new(network).with_preprocessing(Preprocessing::mnist()).with_class_names(["even", "odd"]);
/// let image = Image::filled(28, 28, &[9]);
/// let predicted = model.predict(&[image])?.remove(0);
/// let record = PredictionRecord::top(&model, predicted, true, 1);
/// let json = serde_json::to_value(&record).unwrap();
/// assert_eq!(json["top"][0]["class"], json["class"]);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictionRecord {
    /// The class, the labels or the values.
    #[serde(flatten)]
    pub prediction: NamedPrediction,
    /// `false` where a model for digits found none in the image; only then serialized.
    #[serde(skip_serializing_if = "is_true")]
    pub digit_found: bool,
}

/// A [`Predicted`] with the names of its classes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum NamedPrediction {
    /// One of several classes.
    Class {
        /// Its name, or its number where it has none.
        class: String,
        /// Its probability, 0..1.
        probability: f32,
        /// The probabilities of all or of the top classes.
        #[serde(flatten)]
        scores: Scores,
    },
    /// Any number of labels.
    Labels {
        /// The assigned labels, most probable first.
        labels: Vec<String>,
        /// The probability of each label.
        #[serde(flatten)]
        scores: Scores,
    },
    /// Numbers.
    Values {
        /// As the network computes them.
        values: Vec<f32>,
    },
}

/// The probabilities of classes or labels, 0..1.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scores {
    /// All of them, in the order of the model's classes.
    Probabilities(Vec<f32>),
    /// The highest ones, with class names.
    Top(Vec<NamedProbability>),
}

/// A class or label and its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NamedProbability {
    /// Its name, or its number where it has none.
    pub class: String,
    /// Its probability, 0..1.
    pub probability: f32,
}

/// For `skip_serializing_if`: `digit_found` is serialized only when false.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_true(value: &bool) -> bool {
    *value
}

impl PredictionRecord {
    /// The record of a prediction, with the probabilities of all classes or labels.
    pub fn new(model: &Model, predicted: Predicted, digit_found: bool) -> Self {
        let scores = |found: &Prediction| Scores::Probabilities(found.probabilities.clone());
        Self { prediction: NamedPrediction::new(model, predicted, scores), digit_found }
    }

    /// As [`new`](Self::new), with the `count` most probable classes or labels instead of all probabilities.
    pub fn top(model: &Model, predicted: Predicted, digit_found: bool, count: usize) -> Self {
        let scores = |found: &Prediction| {
            let named =
                |class| NamedProbability { class: model.class_name(class), probability: found.probabilities[class] };
            Scores::Top(found.ranking().into_iter().take(count).map(named).collect())
        };
        Self { prediction: NamedPrediction::new(model, predicted, scores), digit_found }
    }
}

impl NamedPrediction {
    fn new(model: &Model, predicted: Predicted, scores: impl FnOnce(&Prediction) -> Scores) -> Self {
        match predicted {
            Predicted::Class(found) => {
                let class = model.class_name(found.class);
                Self::Class { class, probability: found.probability, scores: scores(&found) }
            }
            Predicted::Labels(found) => {
                let labels = found.labels().into_iter().map(|label| model.class_name(label)).collect();
                Self::Labels { labels, scores: scores(&found) }
            }
            Predicted::Values(values) => Self::Values { values },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::applications;

    #[test]
    fn records_have_the_names_of_the_classes() {
        let names = (0..10).map(|digit| format!("digit {digit}"));
        let model = Model::new(applications::mnist_cnn(1).unwrap()).with_class_names(names);
        let found = Prediction { class: 2, probability: 0.5, probabilities: vec![0.25, 0.25, 0.5] };
        let json = |record: &PredictionRecord| serde_json::to_string(record).unwrap();
        assert_eq!(
            json(&PredictionRecord::new(&model, Predicted::Class(found.clone()), true)),
            r#"{"class":"digit 2","probability":0.5,"probabilities":[0.25,0.25,0.5]}"#
        );
        assert_eq!(
            json(&PredictionRecord::top(&model, Predicted::Class(found.clone()), false, 2)),
            r#"{"class":"digit 2","probability":0.5,"top":[{"class":"digit 2","probability":0.5},"#.to_owned()
                + r#"{"class":"digit 0","probability":0.25}],"digit_found":false}"#
        );
        let labels = PredictionRecord::top(&model, Predicted::Labels(found), true, 1);
        assert_eq!(json(&labels), r#"{"labels":["digit 2"],"top":[{"class":"digit 2","probability":0.5}]}"#);
        let values = PredictionRecord::new(&model, Predicted::Values(vec![1.5]), true);
        assert_eq!(json(&values), r#"{"values":[1.5]}"#);
    }
}
