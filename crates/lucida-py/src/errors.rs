//! The library's errors as Python exceptions.

use std::io::ErrorKind;

use lucida::weights::hub::published_for;
use lucida::{Error, Unfit};
use pyo3::import_exception;
use pyo3::prelude::*;

// Defined in Python: each is both a LucidaError and the matching built-in exception.
import_exception!(lucida._errors, LucidaError);
import_exception!(lucida._errors, InvalidValueError);
import_exception!(lucida._errors, FileError);
import_exception!(lucida._errors, MissingFileError);
import_exception!(lucida._errors, Interrupted);

/// The errno of "no such file", for errors that do not come from the system.
const ENOENT: i32 = 2;

/// The exception for an error, with a hint on what to type in Python.
pub(crate) fn exception(error: &Error) -> PyErr {
    // The guides are not part of a wheel.
    let text = error.to_string().replace("docs/models.md", "docs/models.md of Lucida's repository");
    let text = match hint(error) {
        Some(hint) => format!("{text}; {hint}").replacen("?; ", "? ", 1),
        None => text,
    };
    match error {
        Error::Io { path, source, .. } => {
            let (number, path) = (source.raw_os_error(), path.display().to_string());
            match source.kind() {
                ErrorKind::NotFound => MissingFileError::new_err((text, number.unwrap_or(ENOENT), path)),
                _ => FileError::new_err((text, number, path)),
            }
        }
        Error::Network { .. } | Error::Exists { .. } | Error::InUse { .. } => FileError::new_err(text),
        Error::NotFetched { .. } => MissingFileError::new_err(text),
        Error::Interrupted => Interrupted::new_err(text),
        Error::Bug(_) => LucidaError::new_err(text),
        _ => InvalidValueError::new_err(text),
    }
}

fn hint(error: &Error) -> Option<String> {
    Some(match error {
        Error::UnknownNetwork { .. } => "lucida.networks() lists all".to_owned(),
        Error::NotFetched { .. } | Error::NoClassifier { .. } => {
            let file = published_for(error)?;
            format!("download them in a terminal with `{}` ({})", file.command(), file.size_text())
        }
        Error::NotFinite { skips: false, .. } => "on_nan=\"skip\" leaves such steps out".to_owned(),
        Error::ImageAsModel { .. } => "Model.predict() and Model.classify() take images".to_owned(),
        Error::NoWeights { .. } => "give the file of its weights with weights=".to_owned(),
        Error::WeightsOnly { .. } => "say whose they are with network=, or export the network to ONNX".to_owned(),
        Error::Outputs { found: Unfit::Features(_) | Unfit::ChosenFeatures(_) | Unfit::Maps { .. }, .. } => {
            "Model.activations() and Model.embed() read features".to_owned()
        }
        Error::Outputs { found: Unfit::Values(_), .. } => "task=\"classify\" reads them as classes".to_owned(),
        _ => return None,
    })
}
