//! Options with named values.

use lucida::{Error, Result};

/// Looks up a value by name; the error lists the valid names.
pub(crate) fn named<T: Copy>(what: &str, name: &str, values: &[(&str, T)]) -> Result<T> {
    values.iter().find(|(known, _)| *known == name).map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
        Error::argument(format!("{what} {name:?} is unknown; expected one of {}", names.join(", ")))
    })
}
