//! Statistics of the data, and problems in them.

use super::{RunData, RunReport, counts};
use crate::data::{Dataset, Folder, Targets};
use crate::nn::thousands;
use crate::plot::{Content, Table};
use crate::train::Evaluation;

/// Maximum rows of a table of problems.
const ROWS: usize = 200;

/// The number of training images below which a class counts as small; for an evaluation set, the limit is twice that.
const FEW: usize = 100;
/// Classes are imbalanced if the largest has at least this many times the images of the smallest.
const IMBALANCE: usize = 3;

/// Problems that make the metrics less reliable than they seem, one sentence each.
fn problems(report: &RunReport, evaluation: &Evaluation) -> Vec<String> {
    let confusion = &evaluation.confusion;
    let counts = counts(report.data.train);
    let mut found = Vec::new();
    let by_count = |class: &usize| counts[*class];
    let (most, least) = ((0..counts.len()).max_by_key(by_count), (0..counts.len()).min_by_key(by_count));
    if let (Some(most), Some(least)) = (most, least)
        && counts[most] >= IMBALANCE * counts[least].max(1)
    {
        found.push(format!(
            "Imbalanced classes: {} training images of {}, {} of {}. Accuracy is misleading then: use macro F1 and the \
             recall of each class. --class-weights balanced weights rare classes more, --monitor f1 keeps the epoch with the \
             highest macro F1.",
            thousands(counts[most]),
            report.class_name(most),
            thousands(counts[least]),
            report.class_name(least)
        ));
    }
    let never: Vec<&str> = confusion.never_predicted().map(|class| report.class_name(class)).collect();
    if !never.is_empty() {
        found.push(format!("Never predicted: {}. Precision and F1 count as 0.", never.join(", ")));
    }
    let duplicates = report.data.folder.map_or(&[][..], Folder::duplicates);
    let leaks = duplicates.iter().filter(|duplicate| duplicate.across_parts).count();
    if leaks > 0 {
        found.push(format!(
            "Leakage: {} validation or test images are exact copies of images in another part. The metrics here are too \
             optimistic.",
            thousands(leaks)
        ));
    }
    let few: Vec<String> = (0..counts.len())
        .filter(|&class| counts[class] < FEW)
        .map(|class| format!("{} of {}", counts[class], report.class_name(class)))
        .collect();
    if !few.is_empty() {
        let more = if few.len() > 5 { format!(" and {} more classes", few.len() - 5) } else { String::new() };
        let some = few[..few.len().min(5)].join(", ");
        found.push(format!("Few training images: {some}{more}. Use augmentation and a pretrained base such as VGG16."));
    }
    let tried = confusion.total() as f64;
    if tried < 2.0 * FEW as f64 {
        // The normal approximation of the 95 % interval, with the accuracy clamped away from 0 and 1.
        let share = evaluation.accuracy.clamp(1.0 / (tried + 2.0), (tried + 1.0) / (tried + 2.0));
        let half = 196.0 * (share * (1.0 - share) / tried).sqrt();
        found.push(format!(
            "Few images to evaluate on: {tried}. The 95 % confidence interval of the accuracy is ±{half:.0} %."
        ));
    }
    found
}

pub(super) fn content(report: &RunReport, evaluation: &Evaluation) -> Content {
    let RunData { train, validation, test, folder } = report.data;
    let parts = [("training", Some(train)), ("validation", Some(validation)), ("test", test)];
    let parts: Vec<(&str, &dyn Dataset)> = parts.into_iter().filter_map(|(name, set)| Some((name, set?))).collect();
    let head = ["class".to_owned()].into_iter().chain(parts.iter().map(|(name, _)| (*name).to_owned()));
    let counts: Vec<Vec<usize>> = parts.iter().map(|(_, set)| counts(*set)).collect();
    let mut table = Table::new(head);
    for (class, name) in train.class_names().iter().enumerate() {
        let row = counts.iter().map(|counts| thousands(counts[class]));
        table = table.row([name.clone()].into_iter().chain(row));
    }
    let total = parts.iter().map(|(_, set)| thousands(set.len()));
    table = table.row(["total".to_owned()].into_iter().chain(total));
    let content = Content::new().table(&table);

    of_folder(content, folder, &problems(report, evaluation))
}

/// As [`content`], for labels or values.
pub(super) fn content_of_targets(report: &RunReport) -> Content {
    let RunData { train, validation, test, folder } = report.data;
    let labels = matches!(train.targets(), Targets::Labels(_));
    let mut table = Table::new(["part".to_owned(), "images".to_owned()].into_iter().chain(
        report.class_names().iter().map(|name| if labels { name.clone() } else { format!("{name}: mean (range)") }),
    ));
    let parts = [("training", Some(train)), ("validation", Some(validation)), ("test", test)];
    for (name, set) in parts.into_iter().filter_map(|(name, set)| Some((name, set?))) {
        let cells = (0..train.targets().row_len()).map(|column| {
            let values = (0..set.len()).map(|index| set.target(index)[column]);
            if labels {
                return thousands(values.filter(|value| *value > 0.5).count());
            }
            let range = values
                .clone()
                .fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], value| [low.min(value), high.max(value)]);
            let mean = values.map(f64::from).sum::<f64>() / set.len().max(1) as f64;
            format!("{mean:.3} ({} to {})", range[0], range[1])
        });
        table = table.row([name.to_owned(), thousands(set.len())].into_iter().chain(cells));
    }
    of_folder(Content::new().table(&table), folder, &[])
}

/// The problems, and the notes of an image folder.
fn of_folder(mut content: Content, folder: Option<&Folder>, problems: &[String]) -> Content {
    let Some(folder) = folder else {
        return problems.iter().fold(content, |content, problem| content.paragraph(problem));
    };
    let (skipped, duplicates) = (folder.skipped(), folder.duplicates());
    if problems.is_empty() && folder.notes().is_empty() && skipped.is_empty() && duplicates.is_empty() {
        return content.paragraph("No problems found: all images can be read, and there are no duplicates.");
    }
    for problem in problems {
        content = content.paragraph(problem);
    }
    for note in folder.notes() {
        content = content.paragraph(&format!("{}.", capitalised(note)));
    }
    let more = |count: usize| if count > ROWS { format!(" (the first {ROWS} of {count})") } else { String::new() };
    if !skipped.is_empty() {
        let rows = skipped.iter().take(ROWS);
        let table = rows.fold(Table::new(["file", "reason"]), |table, skipped| {
            table.row([skipped.path.display().to_string(), skipped.reason.clone()])
        });
        let summary = format!("Skipped files: {}{}", skipped.len(), more(skipped.len()));
        content = content.details(&summary, Content::new().table(&table));
    }
    if !duplicates.is_empty() {
        let rows = duplicates.iter().take(ROWS);
        let table = rows.fold(Table::new(["file", "copy of", "in another"]), |table, duplicate| {
            let across = match (duplicate.across_parts, duplicate.across_classes) {
                (true, true) => "part and class",
                (true, false) => "part",
                (false, true) => "class",
                (false, false) => "–",
            };
            table.row([
                duplicate.second.display().to_string(),
                duplicate.first.display().to_string(),
                across.to_owned(),
            ])
        });
        let summary = format!("Exact copies: {}{}", duplicates.len(), more(duplicates.len()));
        content = content.details(&summary, Content::new().table(&table));
    }
    content
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
