//! The report of a training run.

mod losses;
mod problems;
mod targets;

#[cfg(test)]
mod tests;

use crate::data::{Augment, Dataset, Filter, Fit, Folder, Image, Targets};
use crate::files::decimals;
use crate::nn::{counted, summary, thousands};
use crate::plot::{CellMatrix, Chart, Confusion, Content, Gallery, Grid, Report, Table};
use crate::train::{Confusion as Counts, Evaluation, History, Origin, evaluate};
use crate::weights::Model;
use crate::{Cpu, Result};

/// The maximum number of images in a cell of the confusion matrix, and in all cells together.
const IN_CELL: usize = 24;
const IN_MATRIX: usize = 240;
/// The longer side of a thumbnail in pixels.
const THUMBNAIL: usize = 112;
/// The number of augmented images, and the number of variants of each.
const AUGMENTED: usize = 4;
const EXAMPLES: usize = 7;

/// The images of a run.
#[derive(Clone, Copy)]
pub struct RunData<'a> {
    /// Training set.
    pub train: &'a dyn Dataset,
    /// Validation set, for choosing the best epoch.
    pub validation: &'a dyn Dataset,
    /// Test set, if any, used neither for training nor for choosing the epoch.
    pub test: Option<&'a dyn Dataset>,
    /// The image folder that the sets belong to, with its problems; `None` for other data sets such as MNIST.
    pub folder: Option<&'a Folder>,
}

impl<'a> RunData<'a> {
    /// The images of a folder.
    pub fn of_folder(folder: &'a Folder) -> Self {
        Self {
            train: &folder.train,
            validation: &folder.validation,
            test: folder.test.as_ref().map(|test| test as &dyn Dataset),
            folder: Some(folder),
        }
    }

    /// The images that the report covers.
    fn set(&self) -> &'a dyn Dataset {
        self.test.unwrap_or(self.validation)
    }

    /// The name of an image: its file, relative to the folder of the set, or its index.
    fn name(&self, index: usize) -> String {
        match self.folder {
            Some(folder) => folder.test.as_ref().unwrap_or(&folder.validation).image_name(index),
            None => format!("number {index}"),
        }
    }
}

/// The number of images of each class.
fn counts(set: &dyn Dataset) -> Vec<usize> {
    let mut counts = vec![0; set.class_names().len()];
    set.labels().into_iter().for_each(|label| counts[label] += 1);
    counts
}

/// The inputs of a report.
///
/// ```
/// use lucida::prelude::*;
/// use lucida::report::{RunData, RunReport};
/// use lucida::train::Origin;
///
/// # let digits = Mnist::builtin()?.train;
/// # let train = Subset::new(&digits, (0..256).collect())?;
/// # let validation = Subset::new(&digits, (256..320).collect())?;
/// # let output = Dense::new(10).activation(ActivationKind::Softmax);
/// # let network = Sequential::new("linear", [28, 28, 1]).add(Flatten::new()).add(output).build(42)?;
/// # let mut model = Model::new(network).with_preprocessing(Preprocessing::mnist());
/// let config = TrainConfig { epochs: 2, ..TrainConfig::default() };
/// let result = Trainer::new(config).fit(&mut model, &train, Some(&validation))?;
/// let report = RunReport {
///     name: "Digits".into(),
///     model: &model,
///     history: &result.history,
///     data: RunData { train: &train, validation: &validation, test: None, folder: None },
///     augment: &Augment::default(),
///     origin: &Origin { data: "mnist".into(), ..Origin::default() },
///     cpu: Cpu::detect(),
/// };
/// assert!(report.make()?.html().contains("Confusion matrix"));
/// # Ok::<(), lucida::Error>(())
/// ```
pub struct RunReport<'a> {
    /// Name of the run.
    pub name: String,
    /// The model, with the weights of its best epoch.
    pub model: &'a Model,
    /// Metrics of each epoch.
    pub history: &'a History,
    /// The images. The report covers the test set if there is one, else the validation set.
    pub data: RunData<'a>,
    /// How images were augmented.
    pub augment: &'a Augment,
    /// Data and settings of the run.
    pub origin: &'a Origin,
    /// Threads and instruction set.
    pub cpu: Cpu,
}

impl RunReport<'_> {
    /// Evaluates the model and generates the report.
    ///
    /// # Errors
    /// Those of [`evaluate`] and of reading the images.
    pub fn make(&self) -> Result<Report> {
        let set = self.set();
        if set.targets().row_len() > 0 {
            return targets::make(self);
        }
        let evaluation = evaluate(self.model, set, self.cpu)?;
        let part = if self.data.test.is_some() { "test" } else { "validation" };
        let subtitle = format!(
            "{} classifies {}: trained on {}, evaluated on {}.",
            self.model.network.name(),
            classes(self.class_names()),
            counted(self.data.train.len(), "image"),
            counted(set.len(), &format!("{part} image"))
        );
        Ok(Report::new(&self.name)
            .subtitle(subtitle)
            .section("Summary", self.in_short(&evaluation))
            .section("Learning curves", self.curves())
            .section("Confusion matrix", self.confusion(&evaluation)?)
            .section("Metrics by class", self.classes(&evaluation)?)
            .section("Calibration", self.calibration(&evaluation))
            .section("Most confident mistakes", losses::content(self, &evaluation)?)
            .section("Training images", self.augmentation()?)
            .section("Data", problems::content(self, &evaluation))
            .section("Architecture and settings", self.network())
            .footer(self.footer()))
    }

    fn footer(&self) -> String {
        format!("Generated by lucida {} report.", env!("CARGO_PKG_VERSION"))
    }

    /// The images that the report covers.
    fn set(&self) -> &dyn Dataset {
        self.data.set()
    }

    /// The saved epoch, from the model file; if not recorded, the one with the lowest loss.
    fn best_epoch(&self) -> Option<usize> {
        let said = self.model.training["best"]["epoch"].as_u64().map(|epoch| epoch as usize);
        said.or_else(|| self.history.best().map(|best| best.epoch))
    }

    /// The class names of the model, or else those of the training data.
    fn class_names(&self) -> &[String] {
        if self.model.class_names.is_empty() { self.data.train.class_names() } else { &self.model.class_names }
    }

    fn class_name(&self, class: usize) -> &str {
        self.class_names().get(class).map_or("?", String::as_str)
    }

    /// A thumbnail with the aspect ratio of the image.
    fn thumbnail(&self, index: usize) -> Result<Image> {
        let image = self.set().image(index)?.to_rgb();
        let (width, height) = (image.width().max(1), image.height().max(1));
        let longer = width.max(height);
        let side = |side: usize| (side * THUMBNAIL / longer).max(1);
        image.fit(side(width), side(height), Fit::Stretch, Filter::Bilinear)
    }

    /// The zoom factor for small network inputs, such as digits.
    fn zoom(&self) -> usize {
        let side = self.model.preprocessing().map_or(THUMBNAIL, |preprocessing| preprocessing.height);
        (THUMBNAIL / side.max(1)).max(1)
    }

    fn in_short(&self, evaluation: &Evaluation) -> Content {
        let confusion = &evaluation.confusion;
        let wrong = (confusion.total() - confusion.correct()) as usize;
        let facts = [
            ("Accuracy", percent(evaluation.accuracy)),
            ("Mistakes", format!("{} of {}", thousands(wrong), thousands(confusion.total() as usize))),
            ("ROC AUC", evaluation.mean_roc_auc().map_or("–".to_owned(), |auc| format!("{auc:.4}"))),
            ("Macro F1", share(confusion.macro_mean(Counts::f1))),
            ("Calibration error", percent(evaluation.calibration().error)),
        ];
        self.with_times(Content::new().facts(facts.into_iter().chain(self.facts())))
    }

    /// The total duration of the epochs in seconds.
    fn seconds(&self) -> f64 {
        self.history.epochs.iter().map(|epoch| epoch.seconds).sum()
    }

    /// The summary of a run.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let best =
            self.best_epoch().map_or("–".to_owned(), |best| format!("{best} of {}", self.history.epochs.len()));
        let features = self.origin.feature_seconds.unwrap_or(0.0);
        let (all, trained) = self.model.network.parameters();
        let mut facts = vec![
            ("Best epoch", best),
            ("Training time", duration(self.seconds() + features)),
            ("Parameters", thousands(all)),
            ("Trainable parameters", thousands(trained)),
        ];
        // Only recorded if it was set with --loss.
        facts.extend(self.model.training["options"]["loss"].as_str().map(|loss| ("Loss", loss.to_owned())));
        let skipped = self.history.skipped_steps();
        facts.extend((skipped > 0).then(|| ("Skipped steps", thousands(skipped))));
        facts
    }

    /// Adds how much time was spent on computing the features of frozen layers, if there were any.
    fn with_times(&self, facts: Content) -> Content {
        match self.origin.feature_seconds {
            None => facts,
            Some(0.0) => {
                facts.paragraph("The training time does not include the features of the frozen layers, which were cached by an earlier run.")
            }
            Some(features) => facts.paragraph(&format!(
                "Computing the features of the frozen layers took {}, once; the epochs took {}.",
                duration(features),
                duration(self.seconds())
            )),
        }
    }

    fn curves(&self) -> Content {
        let figures = self.history.curves().best_epoch(self.best_epoch()).figures();
        let intro = "Loss and metrics on the training and validation images after each epoch. If the validation loss rises \
                     while the training loss keeps falling, the network overfits. The best epoch is kept.";
        Content::new().paragraph(intro).beside(figures.iter().map(|figure| Content::new().figure(figure, "")))
    }

    fn confusion(&self, evaluation: &Evaluation) -> Result<Content> {
        let (confusion, n) = (&evaluation.confusion, evaluation.confusion.classes());
        let intro = "Rows are true classes, columns are predicted classes. Click a number to see the images, most confident \
                     first.";
        let mut matrix = CellMatrix::new(self.class_names().to_vec(), confusion.counts().to_vec());
        let mut left = IN_MATRIX;
        // Mistakes first, in case there are too many cells.
        let mut cells: Vec<(usize, usize)> = (0..n * n).map(|cell| (cell / n, cell % n)).collect();
        cells
            .sort_by_key(|&(truth, predicted)| (truth == predicted, std::cmp::Reverse(confusion.at(truth, predicted))));
        for (truth, predicted) in cells {
            let mut inside: Vec<usize> = (0..evaluation.predicted.len())
                .filter(|&i| (evaluation.labels[i], evaluation.predicted[i]) == (truth, predicted))
                .collect();
            let sure = |&index: &usize| evaluation.probabilities[index][predicted];
            inside.sort_by(|a, b| sure(b).total_cmp(&sure(a)).then(a.cmp(b)));
            let all = inside.len();
            inside.truncate(IN_CELL.min(left));
            if inside.is_empty() {
                continue;
            }
            left -= inside.len();
            let mut gallery = Gallery::new(1).photos();
            for &index in &inside {
                let caption = format!("{}\n{}", self.data.name(index), percent(sure(&index).into()));
                gallery = gallery.item(self.thumbnail(index)?, caption, truth != predicted);
            }
            let (name, taken) = (self.class_name(truth), self.class_name(predicted));
            let shown = if all > inside.len() { format!(" (the first {})", inside.len()) } else { String::new() };
            let text = match truth == predicted {
                true => format!("{all} of {name}, classified correctly{shown}"),
                false => format!("{all} of {name}, classified as {taken}{shown}"),
            };
            matrix = matrix.cell(truth, predicted, text, gallery);
        }
        Content::new().paragraph(intro).matrix(&matrix)
    }

    fn classes(&self, evaluation: &Evaluation) -> Result<Content> {
        let confusion = &evaluation.confusion;
        let trained = counts(self.data.train);
        let head = Table::new(["class", "training", "evaluation", "precision", "recall", "F1", "ROC AUC"]);
        let table = (0..confusion.classes()).fold(head, |table, class| {
            table.row([
                self.class_name(class).to_owned(),
                thousands(trained.get(class).copied().unwrap_or(0)),
                thousands(confusion.support(class) as usize),
                share(confusion.precision(class)),
                share(confusion.recall(class)),
                share(confusion.f1(class)),
                evaluation.roc_auc(class).map_or("–".to_owned(), |auc| format!("{auc:.4}")),
            ])
        });
        let table = table.row([
            "macro average".to_owned(),
            thousands(trained.iter().sum()),
            thousands(confusion.total() as usize),
            share(confusion.macro_mean(Counts::precision)),
            share(confusion.macro_mean(Counts::recall)),
            share(confusion.macro_mean(Counts::f1)),
            evaluation.mean_roc_auc().map_or("–".to_owned(), |auc| format!("{auc:.4}")),
        ]);
        let never: Vec<&str> = confusion.never_predicted().map(|class| self.class_name(class)).collect();
        let content = Content::new().table(&table);
        let content = match never.is_empty() {
            true => content,
            false => content.paragraph(&format!(
                "Never predicted, so the precision is undefined and counts as 0: {}.",
                never.join(", ")
            )),
        };
        let figure = Confusion::new(self.class_names().to_vec(), confusion.counts().to_vec())?;
        let details = Content::new().figure(&figure.figure(), "");
        Ok(content.details("Confusion matrix as a figure", details))
    }

    fn calibration(&self, evaluation: &Evaluation) -> Content {
        let intro = "Left: reliability diagram, the accuracy at each confidence. On the dashed line the probabilities are \
                     calibrated; below it the network is overconfident. Right: ROC curve of each class, the true positive \
                     rate against the false positive rate for all thresholds; the dashed line is chance.";
        let classes = evaluation.confusion.classes();
        let several: Vec<usize> = if classes == 2 { vec![1] } else { (0..classes.min(6)).collect() };
        let roc = Chart::new("ROC", "false positive rate", "true positive rate").unit().diagonal();
        let roc =
            several.iter().fold(roc, |chart, &class| chart.line(self.class_name(class), evaluation.roc_curve(class)));
        let roc = match evaluation.mean_roc_auc() {
            Some(auc) => roc.note(format!("area under the curve {auc:.4}")),
            None => roc,
        };
        let calibration = evaluation.calibration();
        let charts = [calibration.chart(), roc];
        let head = Table::new(["confidence", "accuracy", "images"]);
        let table = calibration
            .merged()
            .iter()
            .fold(head, |table, bin| table.row([percent(bin.confidence), percent(bin.accuracy), thousands(bin.count)]));
        let charts = charts.iter().map(|chart| Content::new().figure(&chart.figure(), ""));
        let numbers = "Calibration table; bins with fewer than ten images are merged with their neighbors";
        Content::new().paragraph(intro).beside(charts).details(numbers, Content::new().table(&table))
    }

    fn augmentation(&self) -> Result<Content> {
        let train = self.data.train;
        let preprocessing = self.model.preprocessing()?;
        // Evenly spaced over the set, which covers many classes.
        let step = (train.len() / AUGMENTED).max(1);
        let some: Vec<usize> = (0..train.len()).step_by(step).take(AUGMENTED).collect();
        let images = some.iter().map(|&index| train.image(index)).collect::<Result<Vec<_>>>()?;
        if self.augment.is_none() {
            let intro = "Training images after resizing. They were not augmented: the network saw the same pixels in each epoch.";
            let fitted = images.iter().map(|image| Ok(preprocessing.fitted(image)?.into_owned()));
            let fitted = fitted.collect::<Result<Vec<_>>>()?;
            let gallery =
                fitted.into_iter().zip(&some).fold(Gallery::new(self.zoom()).photos(), |gallery, (image, &index)| {
                    gallery.item(image, self.said_of(train, index), false)
                });
            return Content::new().paragraph(intro).gallery(&gallery);
        }
        let intro = format!(
            "Training images and their augmented versions in the first epochs: {}.",
            self.augment.to_string().replace(',', ", ")
        );
        let size = preprocessing.height.min(128);
        let examples = self.augment.examples(&images, size, EXAMPLES, self.origin.seed)?;
        let sheet = Grid::new(examples.into_iter().flatten()).columns(EXAMPLES + 1).padding(8).margin(4).render()?;
        let alternative = "Training images, each followed by augmented versions of it";
        Content::new().paragraph(&intro).image(&sheet, 1, alternative, "The first image in each row is the original.")
    }

    /// The true class, labels or values of an image, as text.
    fn said_of(&self, set: &dyn Dataset, index: usize) -> String {
        let columns = self.class_names().iter().zip(set.target(index));
        match set.targets() {
            Targets::Classes(_) => self.class_name(set.label(index)).to_owned(),
            Targets::Labels(_) => {
                let held: Vec<&str> =
                    columns.filter(|(_, holds)| **holds > 0.5).map(|(name, _)| name.as_str()).collect();
                if held.is_empty() { "no label".to_owned() } else { held.join(", ") }
            }
            Targets::Values(_) => columns.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", "),
        }
    }

    fn network(&self) -> Content {
        let training = serde_json::to_string_pretty(&decimals(self.model.training.clone())).unwrap_or_default();
        Content::new()
            .table(&self.settings())
            .preformatted("Layers of the network", summary(&self.model.network).trim_end())
            .details("Training configuration", Content::new().preformatted("Training configuration", &training))
    }

    /// The settings of the run, and the command to repeat it.
    fn settings(&self) -> Table {
        let origin = self.origin;
        let labels = origin.labels.clone().unwrap_or_default();
        let rows = [
            ("Model", origin.model.clone()),
            ("Height and width", origin.size.map(|[height, width]| format!("{height} x {width} pixels"))),
            ("Last layer of the base", origin.cut.clone()),
            ("Head", origin.head.clone()),
            ("Unfrozen from", origin.unfreeze.clone()),
            ("Augmentation", origin.augment.clone().filter(|augment| !augment.is_empty())),
            ("Data", Some(origin.data.display().to_string())),
            ("Labels", labels.table.map(|table| table.display().to_string()).or(labels.pattern)),
            ("Groups", labels.group.or(labels.group_pattern)),
            ("Fold", origin.fold.map(|[fold, count]| format!("{fold} of {count}"))),
            ("Seed", Some(origin.seed.to_string())),
            ("Command", origin.command.clone()),
        ];
        let rows = rows.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
        rows.fold(Table::new(["setting", "value"]), Table::row)
    }
}

fn classes(names: &[String]) -> String {
    match names {
        [] => "no classes".to_owned(),
        [first, second] => format!("{first} and {second}"),
        few if few.len() <= 5 => few.join(", "),
        many => format!("{} classes", many.len()),
    }
}

fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

fn share(part: Option<f64>) -> String {
    part.map_or("–".to_owned(), percent)
}

fn duration(seconds: f64) -> String {
    match seconds.round() as u64 {
        0..120 => format!("{seconds:.0} s"),
        whole @ 120..7200 => format!("{} min", whole / 60),
        whole => format!("{}:{:02} h", whole / 3600, whole / 60 % 60),
    }
}
