//! Predictions as a table for other programs.

use std::fmt::Write;
use std::path::Path;

use crate::files::{self, csv_field, csv_number};
use crate::model::Predicted;
use crate::weights::OutputKind;
use crate::{Error, Result};

/// A table of comma-separated values, a row for each image: its file (or number), its class if that is known, what the model
/// says, and the probabilities of all classes or labels. What it says is the class and its probability; the labels that
/// hold, joined by semicolons; or the values. Of a model for digits the last column says whether one was found in the image.
#[derive(Debug, Clone)]
pub struct PredictionTable {
    class_names: Vec<String>,
    digits: bool,
    text: String,
}

impl PredictionTable {
    /// A table without rows for outputs of this kind, each with its name or number.
    pub fn new(kind: OutputKind, class_names: &[String]) -> Self {
        let (columns, prefix) = match kind {
            OutputKind::Classes | OutputKind::TwoClasses => (",predicted,probability", "p_"),
            OutputKind::Labels => (",labels", "p_"),
            OutputKind::Values => ("", "value_"),
        };
        let mut text = format!("file,class{columns}");
        for name in class_names {
            let _ = write!(text, ",{}", csv_field(&format!("{prefix}{name}")));
        }
        text.push('\n');
        Self { class_names: class_names.to_vec(), digits: false, text }
    }

    /// The same table without rows, with the column `digit_found`, `true` or `false`.
    #[must_use]
    pub fn with_digit_found(mut self) -> Self {
        self.text.truncate(self.text.find('\n').unwrap_or(self.text.len()));
        self.text.push_str(",digit_found\n");
        Self { digits: true, ..self }
    }

    /// Adds a row. Whether a digit was found is written where the table has a column for it.
    pub fn push(&mut self, file: &str, class: Option<&str>, predicted: &Predicted, digit_found: bool) {
        let name = |class: usize| self.class_names.get(class).cloned().unwrap_or_else(|| class.to_string());
        let (said, numbers) = match predicted {
            Predicted::Class(found) => {
                (format!(",{},{}", csv_field(&name(found.class)), csv_number(found.probability)), &found.probabilities)
            }
            Predicted::Labels(found) => {
                let labels: Vec<String> = found.labels().into_iter().map(name).collect();
                (format!(",{}", csv_field(&labels.join(";"))), &found.probabilities)
            }
            Predicted::Values(values) => (String::new(), values),
        };
        let _ = write!(self.text, "{},{}{said}", csv_field(file), csv_field(class.unwrap_or("")));
        for number in numbers {
            let _ = write!(self.text, ",{}", csv_number(*number));
        }
        if self.digits {
            let _ = write!(self.text, ",{digit_found}");
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
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        files::write_bytes(path, self.text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Prediction;

    #[test]
    fn names_are_quoted_where_they_must() {
        let names = ["cat, big", "dog"].map(String::from);
        let mut table = PredictionTable::new(OutputKind::Classes, &names);
        let prediction = Predicted::Class(Prediction { class: 0, probability: 0.75, probabilities: vec![0.75, 0.25] });
        table.push("a \"b\".png", Some("dog"), &prediction, true);
        table.push("c.png", None, &prediction, true);
        assert_eq!(
            table.text(),
            "file,class,predicted,probability,\"p_cat, big\",p_dog\n\
             \"a \"\"b\"\".png\",dog,\"cat, big\",0.75,0.75,0.25\nc.png,,\"cat, big\",0.75,0.75,0.25\n"
        );
    }

    #[test]
    fn labels_and_values_have_columns_of_their_own() {
        let names = ["a", "b"].map(String::from);
        let mut table = PredictionTable::new(OutputKind::Labels, &names);
        table.push(
            "x",
            None,
            &Predicted::Labels(Prediction { class: 1, probability: 0.75, probabilities: vec![0.5, 0.75] }),
            true,
        );
        table.push(
            "y",
            None,
            &Predicted::Labels(Prediction { class: 0, probability: 0.25, probabilities: vec![0.25, 0.0] }),
            true,
        );
        assert_eq!(table.text(), "file,class,labels,p_a,p_b\nx,,b;a,0.5,0.75\ny,,,0.25,0\n");
        let mut table = PredictionTable::new(OutputKind::Values, &names[..1]);
        table.push("x", Some("cat"), &Predicted::Values(vec![-1.5]), true);
        table.push("y", None, &Predicted::Values(vec![1.0 / 3.0]), true);
        assert_eq!(table.text(), "file,class,value_a\nx,cat,-1.5\ny,,0.333333\n");
        let mut table = PredictionTable::new(OutputKind::Values, &names[..1]).with_digit_found();
        table.push("x", None, &Predicted::Values(vec![-1.5]), false);
        assert_eq!(table.text(), "file,class,value_a,digit_found\nx,,-1.5,false\n");
    }
}
