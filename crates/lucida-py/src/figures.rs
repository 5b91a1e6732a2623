//! Figures and image files.

use lucida::Error;
use lucida::data::{Image, Limits};
use lucida::plot::{Bars, Cell, Figure, Grid, png_bytes};
use lucida::style::{BRUSHWORK, brushwork};
use lucida::train::{EpochRecord, History};
use numpy::PyArrayDyn;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arrays::{Bytes, of_image, to_image};
use crate::errors::{InvalidValueError, exception};
use crate::job::run_quietly;
use crate::model::ImageInput;

/// Encodes an image `[height, width, channels]` as PNG.
#[pyfunction]
pub(crate) fn png<'py>(py: Python<'py>, image: Bytes<'py>) -> PyResult<Bound<'py, PyBytes>> {
    let bytes = png_bytes(&to_image(&image)?).map_err(|error| exception(&error))?;
    Ok(PyBytes::new(py, &bytes))
}

/// Writes an image file; the extension determines the format.
#[pyfunction]
pub(crate) fn save_image(py: Python<'_>, image: Bytes<'_>, path: std::path::PathBuf) -> PyResult<()> {
    let image = to_image(&image)?;
    run_quietly(py, move || image.save(&path))
}

/// Decodes an image file to `[height, width, channels]`.
#[pyfunction]
pub(crate) fn read_image<'py>(py: Python<'py>, image: ImageInput<'py>) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
    let source = image.take()?;
    let image: Image = run_quietly(py, move || source.open())?;
    of_image(py, &image)
}

/// The cat photo of the demo.
const CAT: &[u8] = include_bytes!("../../../assets/chelsea.png");

/// A built-in image: `cat` or `brushwork`.
#[pyfunction]
pub(crate) fn sample<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
    let image = match name {
        "cat" => Image::decode(CAT, "cat", &Limits::default()),
        BRUSHWORK => brushwork(),
        other => Err(Error::argument(format!("sample {other:?} is unknown; expected cat or {BRUSHWORK}"))),
    };
    of_image(py, &image.map_err(|error| exception(&error))?)
}

/// Bar chart of the given classes and probabilities, as PNG.
#[pyfunction]
pub(crate) fn bars(py: Python<'_>, classes: Vec<(String, f64)>) -> PyResult<Bound<'_, PyBytes>> {
    let count = classes.len();
    let bars = Bars::new(classes).map_err(|error| exception(&error))?.top(count);
    drawn(py, &bars.figure())
}

/// Learning curves of a history, whose epochs are JSON, as PNG.
#[pyfunction]
pub(crate) fn curves<'py>(py: Python<'py>, epochs: &str, best_epoch: Option<usize>) -> PyResult<Bound<'py, PyBytes>> {
    let epochs: Vec<EpochRecord> =
        serde_json::from_str(epochs).map_err(|problem| InvalidValueError::new_err(problem.to_string()))?;
    drawn(py, &History { epochs }.curves().best_epoch(best_epoch).figure())
}

fn drawn<'py>(py: Python<'py>, figure: &Figure) -> PyResult<Bound<'py, PyBytes>> {
    let bytes = figure.image(1.0).and_then(|image| png_bytes(&image)).map_err(|error| exception(&error))?;
    Ok(PyBytes::new(py, &bytes))
}

/// Small images are enlarged to about this side in pixels, to be visible.
const SHOWN: usize = 112;

/// A grid of images with captions, as PNG.
#[pyfunction]
pub(crate) fn grid<'py>(
    py: Python<'py>,
    images: Vec<(Bytes<'py>, String)>,
    columns: usize,
    title: String,
) -> PyResult<Bound<'py, PyBytes>> {
    let cell = |(image, caption): (Bytes<'py>, String)| Ok((to_image(&image)?, caption));
    let cells = images.into_iter().map(cell).collect::<PyResult<Vec<_>>>()?;
    let side = cells.iter().map(|(image, _)| image.width()).max().unwrap_or(1);
    let cells = cells.into_iter().map(|(image, caption)| Cell::new(image).caption(caption));
    let grid = Grid::new(cells).columns(columns).zoom((SHOWN / side.max(1)).max(1)).padding(12).margin(8).title(title);
    let bytes = grid.render().and_then(|image| png_bytes(&image)).map_err(|error| exception(&error))?;
    Ok(PyBytes::new(py, &bytes))
}
