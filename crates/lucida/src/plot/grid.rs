//! Grids of images, with a caption under each and a title above them.

use super::canvas::{Anchor, Canvas, Line};
use super::text::{ASCENT, LINE_HEIGHT, Weight, width, wrap};
use super::{Rgb, check_size, luminance, more_readable};
use crate::data::Image;
use crate::{Error, Result};

/// A caption that is wider than its image widens the cell, up to this multiple of the text size.
const CAPTION_EMS: f32 = 14.0;
/// The maximum number of lines of a wrapped title, and of each wrapped line of a caption.
const TITLE_LINES: usize = 3;
const CAPTION_LINES: usize = 2;

/// An image of a grid and its caption.
#[derive(Debug, Clone)]
#[must_use]
pub struct Cell {
    image: Image,
    caption: String,
    flagged: bool,
}

impl Cell {
    /// An image without a caption.
    pub fn new(image: Image) -> Self {
        Self { image, caption: String::new(), flagged: false }
    }

    /// Sets the text under the image; `\n` starts a new line, and long lines wrap.
    pub fn caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = caption.into();
        self
    }

    /// Whether the caption is red and bold, for a wrong prediction.
    pub fn flagged(mut self, flagged: bool) -> Self {
        self.flagged = flagged;
        self
    }
}

impl From<Image> for Cell {
    fn from(image: Image) -> Self {
        Self::new(image)
    }
}

/// Images in rows and columns. All cells have the size of the largest image, and each image is centered in its cell. A
/// margin separates the cells, and padding surrounds them.
///
/// ```
/// use lucida::plot::{Cell, Grid};
/// use lucida::prelude::*;
///
/// let digits = Mnist::builtin()?.train;
/// let mut cells = Vec::new();
/// for index in 0..6 {
///     cells.push(Cell::new(digits.image(index)?).caption(digits.label(index).to_string()));
/// }
/// let sheet = Grid::new(cells).columns(3).margin(4).zoom(2).render()?;
/// assert_eq!((sheet.width(), sheet.channels()), (3 * 56 + 2 * 4, 3));
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Grid {
    cells: Vec<Cell>,
    columns: usize,
    margin: usize,
    padding: usize,
    background: Rgb,
    zoom: usize,
    title: String,
    text_size: f32,
}

impl Grid {
    /// A grid of ten columns with margins of 5 pixels and no padding, on white.
    pub fn new<C: Into<Cell>>(cells: impl IntoIterator<Item = C>) -> Self {
        Self {
            cells: cells.into_iter().map(Into::into).collect(),
            columns: 10,
            margin: 5,
            padding: 0,
            background: [255; 3],
            zoom: 1,
            title: String::new(),
            text_size: 12.0,
        }
    }

    /// The maximum number of images in a row; a grid with fewer images is narrower.
    pub fn columns(mut self, columns: usize) -> Self {
        self.columns = columns;
        self
    }

    /// Pixels between the cells.
    pub fn margin(mut self, margin: usize) -> Self {
        self.margin = margin;
        self
    }

    /// Pixels around the cells and the title.
    pub fn padding(mut self, padding: usize) -> Self {
        self.padding = padding;
        self
    }

    /// The color behind the cells; the text is dark on a light background and vice versa.
    pub fn background(mut self, background: Rgb) -> Self {
        self.background = background;
        self
    }

    /// The width and height of each image pixel in pixels.
    pub fn zoom(mut self, zoom: usize) -> Self {
        self.zoom = zoom;
        self
    }

    /// Sets the title above all images.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// The size of the captions in pixels; the title is a quarter larger.
    pub fn text_size(mut self, size: f32) -> Self {
        self.text_size = size;
        self
    }

    /// The grid as an RGB image.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are no images, no columns, a zoom of 0 or a text size outside 4 to 400;
    /// [`Error::Limit`] when the grid would be too large.
    pub fn render(&self) -> Result<Image> {
        let layout = self.layout()?;
        let mut canvas = Canvas::new(layout.width, layout.height, self.background);
        let ink = more_readable(self.background, [27, 34, 44], [236, 240, 245]);
        // A single red would not be legible on both white and black.
        let alarm = if luminance(self.background) > 0.3 { [190, 20, 30] } else { [255, 130, 120] };

        let title_size = self.title_size();
        let (corner, weight, anchor) = (self.padding as f32, Weight::Bold, Anchor::Start);
        for (i, text) in layout.title.iter().enumerate() {
            let baseline = corner + (title_size * ASCENT).ceil() + (i as f32 * title_size * LINE_HEIGHT).round();
            canvas.text(&Line { text, size: title_size, weight, anchor, upwards: false }, (corner, baseline), ink);
        }

        for (index, (cell, caption)) in self.cells.iter().zip(&layout.captions).enumerate() {
            let (row, column) = (index / layout.columns, index % layout.columns);
            let left = self.padding + column.saturating_mul(layout.cell_width.saturating_add(self.margin));
            let row_height = (layout.image_height + layout.text_height).saturating_add(self.margin);
            let top = self.padding + layout.head + row.saturating_mul(row_height);
            let (width, height) = (cell.image.width() * self.zoom, cell.image.height() * self.zoom);
            let (across, down) = ((layout.cell_width - width) / 2, (layout.image_height - height) / 2);
            canvas.paste(&cell.image, left + across, top + down, self.zoom);

            let middle = left as f32 + layout.cell_width as f32 / 2.0;
            let first = (top + layout.image_height) as f32 + (self.text_size * (ASCENT + GAP)).ceil();
            for (i, text) in caption.iter().enumerate() {
                let (weight, anchor) = (cell.weight(), Anchor::Middle);
                let line = Line { text, size: self.text_size, weight, anchor, upwards: false };
                let baseline = first + (i as f32 * self.text_size * LINE_HEIGHT).round();
                canvas.text(&line, (middle, baseline), if cell.flagged { alarm } else { ink });
            }
        }
        Ok(canvas.into_image())
    }

    fn title_size(&self) -> f32 {
        (self.text_size * 1.25).round()
    }

    fn layout(&self) -> Result<Layout> {
        if self.cells.is_empty() {
            return Err(Error::argument("a grid needs at least one image"));
        }
        if self.columns == 0 || self.zoom == 0 {
            let (columns, zoom) = (self.columns, self.zoom);
            return Err(Error::argument(format!("a grid cannot have {columns} columns at a zoom of {zoom}")));
        }
        if !(4.0..=400.0).contains(&self.text_size) {
            let size = self.text_size;
            return Err(Error::argument(format!("the text size of a grid is {size} pixels; it must be 4 to 400")));
        }
        let columns = self.columns.min(self.cells.len());
        let rows = self.cells.len().div_ceil(columns);
        let most = |length: fn(&Image) -> usize| self.cells.iter().map(|c| length(&c.image)).max().unwrap_or(0);
        let image_width = most(Image::width).saturating_mul(self.zoom);
        let image_height = most(Image::height).saturating_mul(self.zoom);
        let caption_width = self
            .cells
            .iter()
            .flat_map(|c| c.caption.lines().map(|line| width(line, self.text_size, c.weight())))
            .fold(0.0, f32::max)
            .min(self.text_size * CAPTION_EMS);
        let cell_width = image_width.max(caption_width.ceil() as usize);
        let captions: Vec<Vec<String>> = self.cells.iter().map(|cell| self.lines(cell, cell_width)).collect();
        let text_height = match captions.iter().map(Vec::len).max().unwrap_or(0) {
            0 => 0,
            lines => (self.text_size * (LINE_HEIGHT * lines as f32 + GAP)).ceil() as usize,
        };
        let along = |count: usize, size: usize| {
            let cells = count.saturating_mul(size).saturating_add((count - 1).saturating_mul(self.margin));
            cells.saturating_add(self.padding.saturating_mul(2))
        };
        let width = along(columns, cell_width);
        check_size("grid", width, 1)?;
        let title = match self.title.is_empty() {
            true => Vec::new(),
            false => {
                let room = width.saturating_sub(self.padding.saturating_mul(2)) as f32;
                wrap(&self.title, self.title_size(), Weight::Bold, room, TITLE_LINES)
            }
        };
        let head = match title.len() {
            0 => 0,
            lines => ((lines as f32 * self.title_size() * LINE_HEIGHT).ceil() as usize).saturating_add(self.margin),
        };
        let height = along(rows, image_height.saturating_add(text_height)).saturating_add(head);
        check_size("grid", width, height)?;
        Ok(Layout { columns, cell_width, image_height, text_height, head, width, height, title, captions })
    }

    /// The wrapped lines of a caption for this cell width.
    fn lines(&self, cell: &Cell, cell_width: usize) -> Vec<String> {
        let wrapped = |line| wrap(line, self.text_size, cell.weight(), cell_width as f32, CAPTION_LINES);
        cell.caption.lines().flat_map(wrapped).collect()
    }
}

impl Cell {
    fn weight(&self) -> Weight {
        if self.flagged { Weight::Bold } else { Weight::Regular }
    }
}

/// The gap between an image and its caption, relative to the text size.
const GAP: f32 = 0.3;

/// The positions in pixels, and the lines of the texts.
struct Layout {
    columns: usize,
    cell_width: usize,
    image_height: usize,
    text_height: usize,
    head: usize,
    width: usize,
    height: usize,
    title: Vec<String>,
    captions: Vec<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(count: usize) -> Vec<Image> {
        (0..count).map(|i| Image::filled(28, 28, &[i as u8 * 20])).collect()
    }

    fn rendered(grid: &Grid) -> Image {
        grid.render().unwrap()
    }

    fn size(image: &Image) -> (usize, usize) {
        (image.width(), image.height())
    }

    #[test]
    fn a_grid_is_as_large_as_its_cells_and_margins() {
        let of = |count, columns| size(&rendered(&Grid::new(digits(count)).columns(columns)));
        assert_eq!(of(8, 4), (4 * 28 + 3 * 5, 2 * 28 + 5));
        assert_eq!(of(10, 4), (127, 94));
        assert_eq!(of(3, 10), (94, 28));
        let grid = Grid::new(digits(8)).columns(4).margin(2).padding(7).zoom(3);
        assert_eq!(size(&rendered(&grid)), (4 * 84 + 3 * 2 + 14, 2 * 84 + 2 + 14));
    }

    #[test]
    fn pixels_are_where_they_belong() {
        let image = rendered(&Grid::new(digits(10)).columns(4).background([1, 2, 3]));
        // Image 5 is in the second row and column.
        assert_eq!(image.pixel(33, 33), [100; 3]);
        assert_eq!(image.pixel(60, 60), [100; 3]);
        assert_eq!(image.pixel(32, 33), [1, 2, 3]);
        assert_eq!(image.pixel(61, 60), [1, 2, 3]);
        assert_eq!(image.pixel(126, 93), [1, 2, 3]);

        let small = Image::filled(2, 2, &[9, 8, 7]);
        let mixed = rendered(&Grid::new([Image::filled(4, 6, &[0]), small]));
        assert_eq!(mixed.pixel(10, 2), [9, 8, 7]);
        assert_eq!(mixed.pixel(9, 2), [255; 3]);
        assert_eq!(mixed.pixel(10, 1), [255; 3]);
    }

    #[test]
    fn captions_and_a_title_take_room_and_are_drawn() {
        let cells = |flagged| digits(2).into_iter().map(move |d| Cell::new(d).caption("7  99.9 %").flagged(flagged));
        let plain = rendered(&Grid::new(cells(false)));
        assert!(plain.height() >= 28 + 12 && plain.width() > 2 * 50, "{:?}", size(&plain));
        let red = |image: &Image| image.pixels().chunks_exact(3).filter(|p| p[0] > 180 && p[1] < 60).count();
        assert_eq!(red(&plain), 0);
        let dark = plain.pixels().chunks_exact(3).skip(plain.width() * 28).filter(|p| p[0] < 100).count();
        assert!(dark > 50, "{dark}");
        assert!(red(&rendered(&Grid::new(cells(true)))) > 30);

        let titled = rendered(&Grid::new(cells(false)).title("The first two digits"));
        assert!(titled.height() >= plain.height() + 15);
        assert_eq!(titled.width(), plain.width());
        // A title that is wider than the images wraps and is not cut.
        let narrow = |title: &str| rendered(&Grid::new(digits(1)).title(title)).height();
        assert!(narrow("one two three") > narrow("one") + 10);
        let long = digits(2).into_iter().map(|d| Cell::new(d).caption("word ".repeat(1000)));
        assert_eq!(rendered(&Grid::new(long)).width(), 2 * 168 + 5);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        assert!(matches!(Grid::new(digits(0)).render(), Err(Error::Argument(_))));
        assert!(matches!(Grid::new(digits(1)).columns(0).render(), Err(Error::Argument(_))));
        assert!(matches!(Grid::new(digits(1)).zoom(0).render(), Err(Error::Argument(_))));
        assert!(matches!(Grid::new(digits(1)).text_size(f32::NAN).render(), Err(Error::Argument(_))));
        assert!(matches!(Grid::new(digits(1)).zoom(usize::MAX).render(), Err(Error::Limit { .. })));
        assert!(Grid::new(digits(1)).margin(usize::MAX).render().is_ok(), "one cell has no neighbor");
        assert!(matches!(Grid::new(digits(1)).padding(usize::MAX).render(), Err(Error::Limit { .. })));
        assert!(matches!(Grid::new(digits(2)).margin(usize::MAX).title("x").render(), Err(Error::Limit { .. })));
    }
}
