//! The report: one self-contained HTML file that needs no network, scripts or other files.
//!
//! Images are `data:` URIs, figures are inline SVG, and the style sheet is embedded. A content security policy forbids
//! everything else, so that even a mistake in the escaping could neither run nor fetch anything.

mod content;
mod html;
mod matrix;

use std::fmt::Write as _;
use std::path::Path;

pub use content::{Content, Gallery, Table};
pub use matrix::CellMatrix;

pub(super) use html::base64;
pub(crate) use html::escape;

use crate::{Result, files};

const STYLE: &str = include_str!("style.css");
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// A report: a title, a table of contents, sections, a footer.
///
/// ```
/// use lucida::plot::{Content, Report, Table};
///
/// let table = Table::new(["class", "recall"]).row(["cat", "0.98"]).row(["dog", "0.95"]);
/// let content = Content::new().paragraph("Cats & dogs.").table(&table);
/// let html = Report::new("Evaluation").section("Classes", content).html();
/// assert!(html.contains("Cats &amp; dogs.") && html.contains("0.98"));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Report {
    title: String,
    subtitle: String,
    sections: Vec<(String, Content)>,
    footer: String,
}

impl Report {
    /// A report without sections.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), subtitle: String::new(), sections: Vec::new(), footer: String::new() }
    }

    /// Sets the text under the title.
    pub fn subtitle(mut self, subtitle: impl Into<String>) -> Self {
        self.subtitle = subtitle.into();
        self
    }

    /// Adds a section.
    pub fn section(mut self, title: impl Into<String>, content: Content) -> Self {
        self.sections.push((title.into(), content));
        self
    }

    /// Sets the text at the end.
    pub fn footer(mut self, footer: impl Into<String>) -> Self {
        self.footer = footer.into();
        self
    }

    /// The complete HTML document.
    pub fn html(&self) -> String {
        let title = escape(&self.title);
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<div class=\"page\">\n\
             <header>\n<h1>{title}</h1>\n"
        );
        if !self.subtitle.is_empty() {
            let _ = writeln!(html, "<p class=\"subtitle\">{}</p>", escape(&self.subtitle));
        }
        html.push_str("</header>\n<nav aria-label=\"Contents\">\n<ol>\n");
        for (index, (title, _)) in self.sections.iter().enumerate() {
            let _ = writeln!(html, "<li><a href=\"#section-{}\">{}</a></li>", index + 1, escape(title));
        }
        html.push_str("</ol>\n</nav>\n<main>\n");
        for (index, (title, content)) in self.sections.iter().enumerate() {
            let _ = write!(
                html,
                "<section id=\"section-{}\">\n<h2>{}</h2>\n{}</section>\n",
                index + 1,
                escape(title),
                content.html()
            );
        }
        html.push_str("</main>\n");
        if !self.footer.is_empty() {
            let _ = writeln!(html, "<footer>{}</footer>", escape(&self.footer));
        }
        html.push_str("</div>\n</body>\n</html>\n");
        html
    }

    /// Writes the HTML file atomically.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) names `path`; an existing file is then unchanged.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        files::write_bytes(path, self.html().as_bytes())
    }
}

#[cfg(test)]
mod tests;
