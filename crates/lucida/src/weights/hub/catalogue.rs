//! The files that can be fetched.

use crate::nn::applications::{self, Architecture};
use crate::{Error, Result};

/// A file of weights that Keras publishes for its applications.
///
/// Checksums and paths are those in Keras's own sources (`keras/src/applications`); sizes are those that the server names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The network, by its name in [`applications::ALL`].
    pub network: &'static str,
    /// Whether the classifier is in it.
    pub with_top: bool,
    /// Its path below the address of the hub.
    pub path: &'static str,
    /// Its MD5, in hexadecimal.
    pub md5: &'static str,
    /// Its size in bytes.
    pub size: u64,
}

/// All files that can be fetched.
pub const PUBLISHED: [Published; 6] = [
    Published {
        network: "vgg16",
        with_top: false,
        path: "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        md5: "6d6bbae143d832006294945121d1f1fc",
        size: 58_889_256,
    },
    Published {
        network: "vgg16",
        with_top: true,
        path: "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        md5: "64373286793e3c8b2b4e3219cbf3544b",
        size: 553_467_096,
    },
    Published {
        network: "vgg19",
        with_top: false,
        path: "vgg19/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        md5: "253f8cb515780f3b799900260a226db6",
        size: 80_134_624,
    },
    Published {
        network: "vgg19",
        with_top: true,
        path: "vgg19/vgg19_weights_tf_dim_ordering_tf_kernels.h5",
        md5: "cbe5617147190e668d6c5d5026f83318",
        size: 574_710_816,
    },
    Published {
        network: "inception-v3",
        with_top: false,
        path: "inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        md5: "bcbd6486424b2319ff4ef7d526e38f63",
        size: 87_910_968,
    },
    Published {
        network: "inception-v3",
        with_top: true,
        path: "inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels.h5",
        md5: "9a0d58056eeedaa3f26cb7ebd46da564",
        size: 96_112_376,
    },
];

impl Published {
    /// The name of the file, in the cache as at the server.
    pub fn file_name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// The command that fetches it.
    pub fn command(&self) -> String {
        format!("lucida weights fetch {}{}", self.network, if self.with_top { " --with-top" } else { "" })
    }

    /// What it is, for people: `vgg16 without its classifier`.
    pub fn title(&self) -> String {
        format!("{} {} its classifier", self.network, if self.with_top { "with" } else { "without" })
    }
}

/// The published weights of a network.
///
/// # Errors
/// [`Error::Argument`] when there are none, with the names of the networks that have some.
pub fn published(network: &Architecture, with_top: bool) -> Result<&'static Published> {
    let found = PUBLISHED.iter().find(|file| file.network == network.name && file.with_top == with_top);
    found.ok_or_else(|| {
        Error::argument(format!(
            "there are no published weights of {}; there are of {}",
            network.name,
            networks().join(", ")
        ))
    })
}

/// The published weights whose absence is the reason of an error.
pub fn published_for(error: &Error) -> Option<&'static Published> {
    let (network, with_top) = match error {
        Error::NotFetched { network, with_top, .. } => (network, *with_top),
        Error::NoClassifier { network, .. } => (network, true),
        _ => return None,
    };
    published(applications::find(network).ok()?, with_top).ok()
}

/// The names of the networks whose weights are published.
pub fn networks() -> Vec<&'static str> {
    let has = |network: &&Architecture| PUBLISHED.iter().any(|file| file.network == network.name);
    applications::ALL.iter().filter(has).map(|network| network.name).collect()
}

/// A number of bytes for people: `58.9 MB`.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_of_a_known_network_and_of_its_size() {
        for file in &PUBLISHED {
            let network = applications::find(file.network).unwrap();
            assert_eq!(published(network, file.with_top).unwrap(), file);
            assert_eq!((network.name, file.md5.len()), (file.network, 32));
            assert!(file.md5.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
            // Four bytes for each parameter, and less than one per cent of structure.
            let parameters = if file.with_top { Some(network.parameters) } else { network.parameters_without_top };
            let floats = 4 * parameters.unwrap() as u64;
            assert!((floats..floats + floats / 100).contains(&file.size), "{}", file.path);
            assert_eq!(file.file_name().contains("notop"), !file.with_top);
        }
        assert_eq!(networks(), ["vgg16", "vgg19", "inception-v3"]);
        let message = published(applications::find("lenet5").unwrap(), true).unwrap_err().to_string();
        assert!(message.contains("lenet5") && message.contains("vgg16, vgg19, inception-v3"), "{message}");
    }
}
