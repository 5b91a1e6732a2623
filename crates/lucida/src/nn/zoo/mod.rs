//! Known networks.

mod mnist_cnn;

pub use mnist_cnn::mnist_cnn;

use super::Network;
use crate::Result;

/// The names of all known networks.
pub const NAMES: &[&str] = &["mnist-cnn"];

/// The network of a name of [`NAMES`], with weights drawn from seed 0; `None` for any other name.
pub fn by_name(name: &str) -> Option<Result<Network>> {
    match name {
        "mnist-cnn" => Some(mnist_cnn(0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_that_of_a_network() {
        for name in NAMES {
            assert_eq!(by_name(name).unwrap().unwrap().name().replace('_', "-"), *name);
        }
        assert!(by_name("mnist").is_none());
    }
}
