//! The content of a report's section.

use std::fmt::Write as _;

use super::html::{base64, escape};
use super::matrix::CellMatrix;
use crate::Result;
use crate::data::Image;
use crate::plot::{Figure, jpeg_bytes, png_bytes};

/// The content of a section, as a builder. All text is plain and gets escaped.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Content {
    html: String,
}

impl Content {
    /// Empty content.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a paragraph.
    pub fn paragraph(self, text: &str) -> Self {
        self.add(format!("<p>{}</p>\n", escape(text)))
    }

    /// Adds a heading within the section.
    pub fn heading(self, text: &str) -> Self {
        self.add(format!("<h3>{}</h3>\n", escape(text)))
    }

    /// Adds facts, each with a name and a value, as cards.
    pub fn facts<N: AsRef<str>, V: AsRef<str>>(self, facts: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut html = "<dl class=\"facts\">\n".to_owned();
        for (name, value) in facts {
            let (name, value) = (escape(name.as_ref()), escape(value.as_ref()));
            let _ = writeln!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
        }
        self.add(html + "</dl>\n")
    }

    /// Adds monospaced text with its line breaks and spaces, such as a network's summary. `label` is its accessible name,
    /// which a scrollable region needs.
    pub fn preformatted(self, label: &str, text: &str) -> Self {
        let (label, text) = (escape(label), escape(text));
        self.add(format!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\"><pre>{text}</pre></div>\n"
        ))
    }

    /// Adds a table.
    pub fn table(self, table: &Table) -> Self {
        self.add(table.html())
    }

    /// Adds a figure, with its label as text alternative, and `caption` under it if it is not empty.
    pub fn figure(self, figure: &Figure, caption: &str) -> Self {
        // A figure wider than a phone scrolls, because shrinking would make it illegible.
        let wide = if figure.width() > 560.0 { " wide" } else { "" };
        let (svg, caption, label) = (figure.inline_svg(), figcaption(caption), escape(figure.label()));
        self.add(format!(
            "<figure class=\"figure{wide}\"><div class=\"scroll\" tabindex=\"0\" role=\"region\" \
             aria-label=\"{label}\">{svg}</div>{caption}</figure>\n"
        ))
    }

    /// Adds an image enlarged `zoom` times, with `alternative` as its text alternative, and `caption` under it if it is not
    /// empty.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when the image is empty.
    pub fn image(self, image: &Image, zoom: usize, alternative: &str, caption: &str) -> Result<Self> {
        let (image, caption) = (image_tag(image, zoom, alternative)?, figcaption(caption));
        Ok(self.add(format!("<figure class=\"figure\">{image}{caption}</figure>\n")))
    }

    /// Adds a gallery of small images that wraps at the page width.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when an image is empty.
    pub fn gallery(self, gallery: &Gallery) -> Result<Self> {
        let html = gallery.html()?;
        Ok(self.add(html))
    }

    /// Adds a confusion matrix whose cells link to their images.
    ///
    /// # Errors
    /// [`Error::Argument`](crate::Error::Argument) when an image is empty.
    pub fn matrix(self, matrix: &CellMatrix) -> Result<Self> {
        let html = matrix.html()?;
        Ok(self.add(html))
    }

    /// Places parts side by side where there is room, otherwise below each other.
    pub fn beside(self, parts: impl IntoIterator<Item = Self>) -> Self {
        let parts: String = parts.into_iter().map(|part| format!("<div>{}</div>\n", part.html)).collect();
        self.add(format!("<div class=\"beside\">\n{parts}</div>\n"))
    }

    /// Adds a collapsed part with `summary` as its heading.
    pub fn details(self, summary: &str, part: Self) -> Self {
        let (summary, html) = (escape(summary), part.html);
        self.add(format!("<details><summary>{summary}</summary>\n{html}</details>\n"))
    }

    pub(super) fn html(&self) -> &str {
        &self.html
    }

    fn add(mut self, html: impl AsRef<str>) -> Self {
        self.html.push_str(html.as_ref());
        self
    }
}

fn figcaption(caption: &str) -> String {
    if caption.is_empty() { String::new() } else { format!("<figcaption>{}</figcaption>", escape(caption)) }
}

fn image_tag(image: &Image, zoom: usize, alternative: &str) -> Result<String> {
    image_as("png", &png_bytes(image)?, image, zoom, alternative)
}

fn image_as(format: &str, bytes: &[u8], image: &Image, zoom: usize, alternative: &str) -> Result<String> {
    let data = base64(bytes);
    let (width, height) = (image.width().saturating_mul(zoom), image.height().saturating_mul(zoom));
    let class = if zoom > 1 { " class=\"pixels\"" } else { "" };
    let alternative = escape(alternative);
    Ok(format!(
        "<img{class} src=\"data:image/{format};base64,{data}\" width=\"{width}\" height=\"{height}\" alt=\"{alternative}\">"
    ))
}

/// A table of text. A column with only numbers is right-aligned.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Table {
    caption: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names and no rows.
    pub fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        Self { caption: String::new(), head: head.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Sets the text above the table.
    pub fn caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = caption.into();
        self
    }

    /// Adds a row; a row that is shorter than the header is padded with empty cells.
    pub fn row<S: Into<String>>(mut self, cells: impl IntoIterator<Item = S>) -> Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    fn html(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).chain([self.head.len()]).max().unwrap_or(0);
        let cell = |row: &[String], column: usize| row.get(column).map(String::as_str).unwrap_or("").to_owned();
        let numeric: Vec<bool> = (0..columns)
            .map(|column| !self.rows.is_empty() && self.rows.iter().all(|row| is_number(&cell(row, column))))
            .collect();
        let class = |column: usize| if numeric[column] { " class=\"n\"" } else { "" };
        let line = |row: &[String], tag: &str| {
            let scope = if tag == "th" { " scope=\"col\"" } else { "" };
            let cells = (0..columns).map(|i| format!("<{tag}{scope}{}>{}</{tag}>", class(i), escape(&cell(row, i))));
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let label = if self.caption.is_empty() { "table" } else { &self.caption };
        let mut html =
            format!("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table>\n", escape(label));
        if !self.caption.is_empty() {
            let _ = writeln!(html, "<caption>{}</caption>", escape(&self.caption));
        }
        let _ = write!(html, "<thead>\n{}</thead>\n<tbody>\n", line(&self.head, "th"));
        self.rows.iter().for_each(|row| html.push_str(&line(row, "td")));
        html + "</tbody>\n</table></div>\n"
    }
}

/// Whether a cell is a number, with or without a unit: `1,024`, `99.1 %`, `-3.5e-4`, `–`.
fn is_number(cell: &str) -> bool {
    let bare = cell.trim_start_matches(['-', '−', '+', '±']).trim_end_matches(['%', ' ']);
    cell == "–" || bare.starts_with(|c: char| c.is_ascii_digit()) && bare.chars().all(|c| "0123456789.,e-+".contains(c))
}

/// A gallery of small images with captions, some flagged as wrong.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Gallery {
    zoom: usize,
    photos: bool,
    items: Vec<(Image, String, bool)>,
}

impl Gallery {
    /// An empty gallery that enlarges images `zoom` times (at least 1).
    pub fn new(zoom: usize) -> Self {
        Self { zoom: zoom.max(1), photos: false, items: Vec::new() }
    }

    /// Stores the images as JPEG, a quarter of the size; for photos.
    pub fn photos(self) -> Self {
        Self { photos: true, ..self }
    }

    /// Adds an image. The caption, which is also its text alternative, may have several lines; that of a wrong one is red.
    pub fn item(mut self, image: Image, caption: impl Into<String>, wrong: bool) -> Self {
        self.items.push((image, caption.into(), wrong));
        self
    }

    pub(super) fn html(&self) -> Result<String> {
        let mut html = "<ul class=\"gallery\">\n".to_owned();
        for (image, caption, wrong) in &self.items {
            let class = match (wrong, caption.is_empty()) {
                (true, _) => " class=\"wrong\"",
                (false, true) => " class=\"bare\"",
                (false, false) => "",
            };
            let mark = if *wrong { "wrong: " } else { "" };
            let alternative = format!("{mark}{}", caption.replace('\n', ", "));
            let tag = match self.photos {
                true => image_as("jpeg", &jpeg_bytes(image)?, image, self.zoom, &alternative)?,
                false => image_tag(image, self.zoom, &alternative)?,
            };
            let _ = writeln!(html, "<li><figure{class}>{tag}{}</figure></li>", figcaption(caption));
        }
        Ok(html + "</ul>\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_columns_are_found() {
        for number in ["1", "1,024", "99.1 %", "-3.5e-4", "–", "±0.2"] {
            assert!(is_number(number), "{number}");
        }
        for text in ["", "conv2d", "1st", "28x28", "-", "12 of 13", "e"] {
            assert!(!is_number(text), "{text}");
        }
        let html = Table::new(["class", "recall"]).row(["3", "99.0 %"]).row(["cat"]).row(["dog", "98.0 %"]).html();
        assert!(html.contains("<td>3</td><td>99.0 %</td>"), "{html}");
        assert!(html.contains("<td>cat</td><td></td>"), "{html}");
        let html = Table::new(["class", "recall"]).row(["cat", "99.0 %"]).html();
        assert!(html.contains("<td>cat</td><td class=\"n\">99.0 %</td>"), "{html}");
    }

    #[test]
    fn everything_is_escaped() {
        let evil = "</p><script>alert(1)</script>\"'";
        let image = Image::filled(2, 2, &[7]);
        let figure = crate::plot::Bars::new([(evil, 0.5)]).unwrap().title(evil).figure();
        let all = || {
            Content::new()
                .paragraph(evil)
                .heading(evil)
                .facts([(evil, evil)])
                .preformatted(evil, evil)
                .table(&Table::new([evil]).caption(evil).row([evil]))
                .figure(&figure, evil)
                .image(&image, 2, evil, evil)
                .and_then(|c| c.gallery(&Gallery::new(1).item(image.clone(), evil, true)))
                .unwrap()
        };
        let content = Content::new().beside([all()]).details(evil, all());
        assert!(!content.html().contains("<script") && !content.html().contains("</p><"), "{}", content.html());
        assert!(!content.html().contains("\"'"));
    }

    #[test]
    fn images_are_inside_the_page_and_sharp_when_enlarged() {
        let image = Image::filled(28, 28, &[7]);
        let html = Content::new().image(&image, 3, "a digit", "").unwrap().html;
        assert!(html.contains("class=\"pixels\" src=\"data:image/png;base64,iVBORw0KGgo"), "{html}");
        assert!(html.contains("width=\"84\" height=\"84\" alt=\"a digit\"") && !html.contains("figcaption"), "{html}");
        assert!(Content::new().image(&Image::filled(0, 0, &[7]), 3, "", "").is_err());
    }
}
