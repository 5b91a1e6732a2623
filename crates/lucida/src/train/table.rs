//! Predictions as a CSV table.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::files::{self, csv_field, csv_number, csv_text};
use crate::model::Predicted;
use crate::weights::OutputKind;
use crate::{Error, Result};

/// A CSV table with a row per image: its file (or index), its class if known, the prediction, and the probabilities of all
/// classes or labels. The prediction is the class and its probability; the predicted labels, separated by semicolons; or the
/// values. For a digit model, the last column states whether a digit was found in the image.
#[derive(Debug, Clone)]
pub struct PredictionTable {
    class_names: Vec<String>,
    digits: bool,
    text: String,
}

impl PredictionTable {
    /// Creates an empty table for outputs of this kind, each with its name or index.
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

    /// Adds the column `digit_found`, `true` or `false`, to an empty table.
    #[must_use]
    pub fn with_digit_found(mut self) -> Self {
        self.text.truncate(self.text.find('\n').unwrap_or(self.text.len()));
        self.text.push_str(",digit_found\n");
        Self { digits: true, ..self }
    }

    /// Adds a row. `digit_found` is used only if the table has a column for it.
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

    /// Writes the file atomically.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        files::write_bytes(path, self.text.as_bytes())
    }
}

/// A [`PredictionTable`] in a file that grows row by row, for an unlimited number of predictions. A stopped run can be
/// resumed.
pub struct PredictionLog {
    table: PredictionTable,
    path: PathBuf,
    out: Box<dyn Write + Send>,
}

impl PredictionLog {
    /// Opens a file for an empty table, and returns the existing entries of its column `file`. It may contain rows of an
    /// earlier run; an incomplete last row is removed. With `replace`, the file is overwritten. `-` is standard output.
    ///
    /// ```
    /// # let temporary = tempfile::tempdir().unwrap();
    /// # let path = temporary.path().join("all.csv");
    /// use lucida::model::Predicted;
    /// use lucida::train::{PredictionLog, PredictionTable};
    /// use lucida::weights::OutputKind;
    ///
    /// let table = PredictionTable::new(OutputKind::Values, &["age".to_owned()]);
    /// let (mut log, done) = PredictionLog::open(&path, table.clone(), false)?;
    /// assert!(done.is_empty());
    /// log.push("a.jpg", None, &Predicted::Values(vec![31.0]), true)?;
    /// let (_, done) = PredictionLog::open(&path, table, false)?;
    /// assert_eq!(done, ["a.jpg"]);
    /// # Ok::<(), lucida::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::File`] when the file has other columns, or contains anything but valid rows; [`Error::Io`] when it cannot be
    /// read or written.
    pub fn open(path: impl AsRef<Path>, mut table: PredictionTable, replace: bool) -> Result<(Self, Vec<String>)> {
        let path = path.as_ref().to_path_buf();
        let header = std::mem::take(&mut table.text);
        let failed = |source| Error::io(&path, "write", source);
        let (mut out, done): (Box<dyn Write + Send>, _) = if files::is_stdout(&path) {
            (Box::new(io::stdout()), None)
        } else {
            let mut options = File::options();
            let is_stream = files::is_stream(&path);
            options.create(true).read(!is_stream).append(true);
            let file = options.open(&path).map_err(failed)?;
            if replace && !is_stream {
                file.set_len(0).map_err(failed)?;
            }
            let done = if is_stream { None } else { rows(&file, &path, &header)? };
            (Box::new(file), done)
        };
        if done.is_none() {
            out.write_all(header.as_bytes()).and_then(|()| out.flush()).map_err(failed)?;
        }
        Ok((Self { table, path, out }, done.unwrap_or_default()))
    }

    /// Writes a row, as [`PredictionTable::push`].
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn push(&mut self, file: &str, class: Option<&str>, predicted: &Predicted, digit_found: bool) -> Result<()> {
        self.table.push(file, class, predicted, digit_found);
        let row = std::mem::take(&mut self.table.text);
        let written = self.out.write_all(row.as_bytes()).and_then(|()| self.out.flush());
        written.map_err(|source| Error::io(&self.path, "write", source))
    }
}

/// Reads the column `file` of a table with this header; `None` if the file is empty. An incomplete last row is removed.
fn rows(mut file: &File, path: &Path, header: &str) -> Result<Option<Vec<String>>> {
    let unreadable = |source| Error::io(path, "read", source);
    let len = file.metadata().map_err(unreadable)?.len();
    if len == 0 {
        return Ok(None);
    }
    let mut start = vec![0; header.len()];
    if file.read_exact(&mut start).is_err() || start != header.as_bytes() {
        return Err(Error::file(path, "is not a table of predictions of this model: its columns are others"));
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last)).map_err(unreadable)?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
    let (mut files, mut columns, mut record) = (Vec::new(), None, csv::StringRecord::new());
    loop {
        let begin = reader.position().byte();
        let invalid = |problem: csv::Error| Error::file(path, format!("is not a table of predictions: {problem}"));
        if !reader.read_record(&mut record).map_err(invalid)? {
            return Ok(Some(files));
        }
        let columns = *columns.get_or_insert(record.len());
        let is_last = reader.position().byte() >= len;
        if is_last && (record.len() != columns || last != *b"\n") {
            file.set_len(begin).map_err(|source| Error::io(path, "write", source))?;
            return Ok(Some(files));
        }
        if record.len() != columns {
            let row = reader.position().line() - 1;
            return Err(Error::file(path, format!("line {row} is not a row of predictions: it has other columns")));
        }
        // The first record is the header.
        if begin > 0 {
            files.push(csv_text(&record[0]).to_owned());
        }
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

    #[test]
    fn a_log_continues_where_it_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.csv");
        let names = ["a", "b"].map(String::from);
        let table = PredictionTable::new(OutputKind::Values, &names);
        let values = Predicted::Values(vec![0.25, 0.125]);
        let (mut log, done) = PredictionLog::open(&path, table.clone(), false).unwrap();
        assert!(done.is_empty());
        for name in ["=x.jpg", "y, \"z\".jpg"] {
            log.push(name, None, &values, true).unwrap();
        }
        let whole = std::fs::read_to_string(&path).unwrap();
        assert_eq!(whole, "file,class,value_a,value_b\n'=x.jpg,,0.25,0.125\n\"y, \"\"z\"\".jpg\",,0.25,0.125\n");
        let both = ["=x.jpg".to_owned(), "y, \"z\".jpg".to_owned()];
        assert_eq!(PredictionLog::open(&path, table.clone(), false).unwrap().1, both);
        // Truncated anywhere within the last row.
        let second = whole.find("\"y").unwrap();
        for end in second + 1..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            let (mut log, done) = PredictionLog::open(&path, table.clone(), false).unwrap();
            assert_eq!(done, both[..1], "{end}");
            log.push(&both[1], None, &values, true).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), whole, "{end}");
        }
        // Another model, another file, and a damaged one.
        let other = PredictionTable::new(OutputKind::Classes, &names);
        assert!(PredictionLog::open(&path, other.clone(), false).is_err());
        assert!(PredictionLog::open(&path, other, true).unwrap().1.is_empty());
        std::fs::write(&path, "file,class,value_a,value_b\nx.jpg,,1\ny.jpg,,1,2\n").unwrap();
        let message = PredictionLog::open(&path, table, false).err().unwrap().to_string();
        assert!(message.contains("line 2 "), "{message}");
    }
}
