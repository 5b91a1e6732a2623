//! A guard around third-party decoders: a panic within one becomes an error about the file.
//!
//! Decoders from other crates meet files that their authors never tested. For example, zune-jpeg 0.5.15 indexes out of
//! bounds on some damaged CMYK files. One such photo must not end a training run on 100,000 others.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::Once;

use crate::{Error, Result};

thread_local! {
    /// Whether this thread runs a guarded decoder, whose panic messages are suppressed.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs the decoder of a `format` on the file `name`.
///
/// A panic may leave what the closure borrows in an inconsistent state: pass only values that are discarded after an error.
/// Where panics abort, as in WebAssembly, there is no guard.
///
/// # Errors
/// [`Error::File`] when it panics (nothing is printed to standard error); otherwise the error that it returns.
pub(crate) fn decoder<T>(name: &Path, format: &str, decode: impl FnOnce() -> Result<T>) -> Result<T> {
    silence_guarded_threads();
    let before = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(decode));
    GUARDED.set(before);
    outcome.unwrap_or_else(|_| {
        let problem = format!("cannot decode: the {format} decoder failed on it; the file is probably damaged");
        Err(Error::file(name, problem))
    })
}

/// Installs a panic hook, once, that suppresses the messages of guarded threads and calls the previous hook otherwise.
fn silence_guarded_threads() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let other = take_hook();
        set_hook(Box::new(move |info| {
            if !GUARDED.get() || cfg!(panic = "abort") {
                other(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_about_the_file() {
        let name = Path::new("x.jpg");
        let nothing: [u8; 0] = [];
        let error = decoder(name, "Jpeg", || Ok(nothing[std::hint::black_box(3)])).unwrap_err();
        assert!(matches!(error, Error::File { .. }));
        assert!(error.to_string().starts_with("x.jpg: cannot decode: the Jpeg decoder"), "{error}");
        assert!(!GUARDED.get());
        assert_eq!(decoder(name, "Jpeg", || Ok(7)).unwrap(), 7);
        assert!(matches!(decoder::<()>(name, "Jpeg", || Err(Error::Interrupted)), Err(Error::Interrupted)));
    }

    #[test]
    fn a_guard_within_a_guard_leaves_the_outer_one_on() {
        let name = Path::new("x.zip");
        decoder(name, "Zip", || {
            let _ = decoder::<()>(name, "HDF5", || panic!("inner"));
            assert!(GUARDED.get());
            Ok(())
        })
        .unwrap();
        assert!(!GUARDED.get());
    }
}
