//! Predictions as a table for other programs.

use std::fmt::Write;
use std::path::Path;

use super::Prediction;
use crate::files::{self, csv_field};
use crate::{Error, Result};

/// A table of comma-separated values: a row for each picture, with its file (or its number), its class if that is known,
/// the class it was taken for, the probability of that, and the probabilities of all classes.
#[derive(Debug, Clone)]
pub struct PredictionTable {
    class_names: Vec<String>,
    text: String,
}

impl PredictionTable {
    /// A table without rows; a class without a name has its number for one.
    pub fn new(class_names: &[String]) -> Self {
        let mut text = "file,class,predicted,probability".to_owned();
        for name in class_names {
            let _ = write!(text, ",{}", csv_field(&format!("p_{name}")));
        }
        text.push('\n');
        Self { class_names: class_names.to_vec(), text }
    }

    /// Adds a row.
    pub fn push(&mut self, file: &str, class: Option<&str>, prediction: &Prediction) {
        let number = prediction.class.to_string();
        let predicted = self.class_names.get(prediction.class).unwrap_or(&number);
        let (file, class, predicted) = (csv_field(file), csv_field(class.unwrap_or("")), csv_field(predicted));
        let _ = write!(self.text, "{file},{class},{predicted},{}", prediction.probability);
        for probability in &prediction.probabilities {
            let _ = write!(self.text, ",{probability}");
        }
        self.text.push('\n');
    }

    /// The table so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        files::write_bytes(path, self.text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_they_must() {
        let names = ["cat, big", "dog"].map(String::from);
        let mut table = PredictionTable::new(&names);
        let prediction = Prediction { class: 0, probability: 0.75, probabilities: vec![0.75, 0.25] };
        table.push("a \"b\".png", Some("dog"), &prediction);
        table.push("c.png", None, &prediction);
        assert_eq!(
            table.text(),
            "file,class,predicted,probability,\"p_cat, big\",p_dog\n\
             \"a \"\"b\"\".png\",dog,\"cat, big\",0.75,0.75,0.25\nc.png,,\"cat, big\",0.75,0.75,0.25\n"
        );
    }
}
