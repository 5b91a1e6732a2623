//! Options that are names.

use lucida::{Error, Result};

/// The value of a name, or what is expected.
pub(crate) fn named<T: Copy>(what: &str, name: &str, values: &[(&str, T)]) -> Result<T> {
    values.iter().find(|(known, _)| *known == name).map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
        Error::argument(format!("{what} {name:?} is unknown; expected one of {}", names.join(", ")))
    })
}
