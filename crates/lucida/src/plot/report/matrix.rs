//! A confusion matrix with linked images.

use std::fmt::Write as _;

use super::content::Gallery;
use super::html::escape;
use crate::Result;

/// A confusion matrix as a table: each nonempty cell is a link to its images, which CSS shows below while they are the link
/// target. No script is needed.
#[derive(Debug, Clone)]
#[must_use]
pub struct CellMatrix {
    names: Vec<String>,
    counts: Vec<u64>,
    cells: Vec<(usize, usize, String, Gallery)>,
}

impl CellMatrix {
    /// A matrix with the true classes as rows and the predicted ones as columns, `names.len()` each.
    ///
    /// # Panics
    /// When `counts` does not have one value per cell.
    pub fn new(names: Vec<String>, counts: Vec<u64>) -> Self {
        assert_eq!(counts.len(), names.len() * names.len(), "a count for each cell");
        Self { names, counts, cells: Vec::new() }
    }

    /// Sets the images of a cell, and a text above them.
    pub fn cell(mut self, truth: usize, predicted: usize, text: impl Into<String>, images: Gallery) -> Self {
        self.cells.push((truth, predicted, text.into(), images));
        self
    }

    pub(super) fn html(&self) -> Result<String> {
        let n = self.names.len();
        let mut html = "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"confusion matrix\">\
                        <table class=\"matrix\">\n<thead>\n<tr><th scope=\"col\">true \\ predicted</th>"
            .to_owned();
        for name in &self.names {
            let _ = write!(html, "<th scope=\"col\">{}</th>", escape(name));
        }
        html.push_str("</tr>\n</thead>\n<tbody>\n");
        for (truth, name) in self.names.iter().enumerate() {
            let row = &self.counts[truth * n..(truth + 1) * n];
            let sum = row.iter().sum::<u64>().max(1) as f64;
            let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(name));
            for (predicted, &count) in row.iter().enumerate() {
                let share = count as f64 / sum;
                let (kind, shown) = if truth == predicted { ("right", share) } else { ("wrong", share.sqrt()) };
                // Ten shades of each kind, whose colors the style sheet defines.
                let shade = if count == 0 { 0 } else { (shown * 9.0).ceil() as usize };
                let opens = self.cells.iter().any(|(t, p, ..)| (*t, *p) == (truth, predicted));
                let text = match opens {
                    true => format!("<a href=\"#cell-{truth}-{predicted}\">{count}</a>"),
                    false => count.to_string(),
                };
                let _ = write!(html, "<td class=\"{kind}-{shade}\">{text}</td>");
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody>\n</table></div>\n");
        for (truth, predicted, text, images) in &self.cells {
            let (text, images) = (escape(text), images.html()?);
            let _ =
                write!(html, "<div class=\"cell\" id=\"cell-{truth}-{predicted}\">\n<p>{text}</p>\n{images}</div>\n");
        }
        Ok(html)
    }
}
