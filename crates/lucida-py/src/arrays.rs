//! Images and tensors as NumPy arrays.

use lucida::core::Array;
use lucida::data::Image;
use numpy::ndarray::IxDyn;
use numpy::{Element, PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::errors::exception;

pub(crate) type Bytes<'py> = PyReadonlyArrayDyn<'py, u8>;
pub(crate) type Floats<'py> = PyReadonlyArrayDyn<'py, f32>;

/// A new array of this shape.
pub(crate) fn array<'py, T: Element>(
    py: Python<'py>,
    shape: &[usize],
    values: Vec<T>,
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    PyArray1::from_vec(py, values).reshape(IxDyn(shape))
}

/// The values of an array that the package has made contiguous.
pub(crate) fn values<T: Element + Clone>(array: &PyReadonlyArrayDyn<'_, T>) -> PyResult<Vec<T>> {
    Ok(array.as_slice().map_err(|_| PyTypeError::new_err("the array is not contiguous"))?.to_vec())
}

/// An array of the library's.
pub(crate) fn to_array(array: &Floats<'_>) -> PyResult<Array> {
    Array::new(array.shape().to_vec(), values(array)?).map_err(|error| exception(&error))
}

/// An image `[height, width, channels]` of bytes.
pub(crate) fn to_image(array: &Bytes<'_>) -> PyResult<Image> {
    let &[height, width, channels] = array.shape() else {
        return Err(PyTypeError::new_err(format!("an image is (height, width, channels), not {:?}", array.shape())));
    };
    Image::new(width, height, channels, values(array)?).map_err(|error| exception(&error))
}

/// An image as an array `[height, width, channels]`.
pub(crate) fn of_image<'py>(py: Python<'py>, image: &Image) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
    array(py, &[image.height(), image.width(), image.channels()], image.pixels().to_vec())
}
