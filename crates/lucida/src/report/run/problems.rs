//! What was found in the data, and what is wrong with them.

use super::RunReport;
use crate::data::{Dataset, FolderSet};
use crate::nn::thousands;
use crate::plot::{Content, Table};

/// Rows of a table of problems.
const ROWS: usize = 200;

pub(super) fn content(report: &RunReport) -> Content {
    let folder = report.folder;
    let parts =
        [("training", Some(&folder.train)), ("validation", Some(&folder.validation)), ("test", folder.test.as_ref())];
    let parts: Vec<(&str, &FolderSet)> = parts.into_iter().filter_map(|(name, set)| Some((name, set?))).collect();
    let head = ["class".to_owned()].into_iter().chain(parts.iter().map(|(name, _)| (*name).to_owned()));
    let counts: Vec<Vec<usize>> = parts.iter().map(|(_, set)| set.counts()).collect();
    let mut table = Table::new(head);
    for (class, name) in folder.class_names().iter().enumerate() {
        let row = counts.iter().map(|counts| thousands(counts[class]));
        table = table.row([name.clone()].into_iter().chain(row));
    }
    let total = parts.iter().map(|(_, set)| thousands(set.len()));
    table = table.row(["all".to_owned()].into_iter().chain(total));
    let mut content = Content::new().table(&table);

    let (skipped, duplicates) = (folder.skipped(), folder.duplicates());
    if folder.notes().is_empty() && skipped.is_empty() && duplicates.is_empty() {
        return content.paragraph("No problems were found: every file is a whole picture, and none is there twice.");
    }
    for note in folder.notes() {
        content = content.paragraph(&format!("{}.", capitalised(note)));
    }
    let more = |count: usize| if count > ROWS { format!(" (the first {ROWS} of {count})") } else { String::new() };
    if !skipped.is_empty() {
        let rows = skipped.iter().take(ROWS);
        let table = rows.fold(Table::new(["file", "why it cannot be used"]), |table, skipped| {
            table.row([skipped.path.display().to_string(), skipped.reason.clone()])
        });
        let summary = format!("Files that were skipped: {}{}", skipped.len(), more(skipped.len()));
        content = content.details(&summary, Content::new().table(&table));
    }
    if !duplicates.is_empty() {
        let rows = duplicates.iter().take(ROWS);
        let table = rows.fold(Table::new(["file", "is the same as", "in another"]), |table, duplicate| {
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
