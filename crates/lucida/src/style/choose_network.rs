//! Selection of the feature network.

use std::path::Path;

use crate::nn::applications;
use crate::weights::{self, BUILTIN, IncludeTop, Model, ModelSpec};
use crate::{Error, Result};

/// Names of the available feature networks, best first.
pub const NETWORKS: [&str; 3] = ["vgg19", "vgg16", BUILTIN];

/// Opens a feature network by name, by weights file, or the best available: VGG19 or VGG16 if downloaded, otherwise the
/// built-in blocks of VGG16.
///
/// # Errors
/// [`Error::Argument`] when the name is not one of [`NETWORKS`] or its weights are not available; as [`weights::open`] when
/// the weights do not fit the network.
pub fn choose_network(name: Option<&str>, file: Option<&Path>) -> Result<Model> {
    if let Some(name) = name.filter(|name| !NETWORKS.contains(name)) {
        return Err(Error::argument(format!("network {name:?} is not one of {}", NETWORKS.join(", "))));
    }
    let fetched =
        |name: &&&str| applications::find(name).is_ok_and(|known| weights::locate(known, IncludeTop::Unneeded).is_ok());
    let name = match (name, file) {
        (Some(name), _) => name,
        (None, Some(file)) => nearest_network(file)?,
        (None, None) => NETWORKS.iter().find(fetched).copied().unwrap_or(BUILTIN),
    };
    let spec = ModelSpec { weights: file.map(Path::to_path_buf), top: IncludeTop::Unneeded, ..ModelSpec::new(name) };
    weights::open(&spec)
}

/// Returns the network whose parameter count, with or without the classifier, is nearest to that of a file.
fn nearest_network(file: &Path) -> Result<&'static str> {
    let found = weights::inspect(file)?.parameters();
    let known = [("vgg16", 14_714_688), ("vgg16", 138_357_544), ("vgg19", 20_024_384), ("vgg19", 143_667_240)];
    let nearest = known.into_iter().min_by_key(|(_, parameters)| found.abs_diff(*parameters));
    Ok(nearest.map_or("vgg16", |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files() {
        assert_eq!(choose_network(Some(BUILTIN), None).unwrap().network.name(), "vgg16_builtin");
        assert!(
            choose_network(Some("resnet50"), None).unwrap_err().to_string().contains("vgg19, vgg16, vgg16-builtin")
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        std::fs::write(&path, "nothing").unwrap();
        assert!(choose_network(None, Some(&path)).unwrap_err().to_string().contains("weights.safetensors"));
        assert!(choose_network(Some(BUILTIN), Some(&path)).unwrap_err().to_string().contains("has weights of its own"));
    }
}
