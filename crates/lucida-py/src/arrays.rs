//! Images and tensors as NumPy arrays.

use lucida::core::Array;
use lucida::data::Image;
use numpy::ndarray::IxDyn;
use numpy::{Element, PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::errors::{InvalidValueError, exception};

pub(crate) type Bytes<'py> = PyReadonlyArrayDyn<'py, u8>;
pub(crate) type Floats<'py> = PyReadonlyArrayDyn<'py, f32>;

/// Creates an array of this shape.
pub(crate) fn array<'py, T: Element>(
    py: Python<'py>,
    shape: &[usize],
    values: Vec<T>,
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    PyArray1::from_vec(py, values).reshape(IxDyn(shape))
}

/// The values of an array, which the Python package has made contiguous.
pub(crate) fn values<T: Element + Clone>(array: &PyReadonlyArrayDyn<'_, T>) -> PyResult<Vec<T>> {
    Ok(array.as_slice().map_err(|_| InvalidValueError::new_err("the array is not contiguous"))?.to_vec())
}

/// Converts to an array of the library.
pub(crate) fn to_array(array: &Floats<'_>) -> PyResult<Array> {
    Array::new(array.shape().to_vec(), values(array)?).map_err(|error| exception(&error))
}

/// Converts an array `[height, width, channels]` of bytes to an image: gray or RGB, with alpha (2 or 4 channels) composited
/// over white.
pub(crate) fn to_image(array: &Bytes<'_>) -> PyResult<Image> {
    let &[height, width, channels] = array.shape() else {
        let problem = format!("an image is (height, width, channels), not {:?}", array.shape());
        return Err(InvalidValueError::new_err(problem));
    };
    let pixels = values(array)?;
    let image = match channels {
        2 | 4 => Image::over_white(width, height, channels, &pixels),
        _ => Image::new(width, height, channels, pixels),
    };
    image.map_err(|error| exception(&error))
}

/// Converts an image to an array `[height, width, channels]` of bytes.
pub(crate) fn of_image<'py>(py: Python<'py>, image: &Image) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
    array(py, &[image.height(), image.width(), image.channels()], image.pixels().to_vec())
}
