//! The network that the library carries with it, so that explanations and style transfer need no download.

use half::f16;
use safetensors::{Dtype, SafeTensors};

use super::Model;
use crate::data::Preprocessing;
use crate::nn::{Network, applications};
use crate::{Error, Result};

/// Weights in 16-bit floats; see `assets/README.md` for where they come from.
const VGG16: &[u8] = include_bytes!("../../../../assets/vgg16-block1-3-f16.safetensors");

/// The first three blocks of VGG16 (seven convolutions, to `block3_pool`) with the weights of ImageNet, for images of
/// 224x224 pixels. The weights were rounded to 16-bit floats.
///
/// # Errors
/// None in practice.
pub fn builtin_vgg16() -> Result<Model> {
    builtin_vgg16_at(224, 224)
}

/// As [`builtin_vgg16`], for images of another size.
///
/// # Errors
/// [`Error::Argument`] when the images are smaller than 8x8 pixels.
pub fn builtin_vgg16_at(height: usize, width: usize) -> Result<Model> {
    let mut network = applications::vgg16_start([height, width])?;
    fill(&mut network)?;
    let preprocessing = Some(Preprocessing::vgg().with_size(height, width));
    Ok(Model { preprocessing, ..Model::new(network) })
}

fn fill(network: &mut Network) -> Result<()> {
    let bug = |problem: String| Error::Bug(format!("the built-in VGG16: {problem}"));
    let tensors = SafeTensors::deserialize(VGG16).map_err(|problem| bug(problem.to_string()))?;
    for weight in network.weights_mut() {
        let name = weight.name().replace('/', ".");
        let tensor = tensors.tensor(&name).map_err(|problem| bug(format!("{name}: {problem}")))?;
        if tensor.dtype() != Dtype::F16 || tensor.shape() != weight.shape() {
            return Err(bug(format!("{name} is of type {:?} and shape {:?}", tensor.dtype(), tensor.shape())));
        }
        for (value, bytes) in weight.values_mut().iter_mut().zip(tensor.data().chunks_exact(2)) {
            *value = f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_start_of_vgg16() {
        let model = builtin_vgg16().unwrap();
        model.check().unwrap();
        assert_eq!(model.network.output().unwrap().name(), "block3_pool");
        assert_eq!(model.network.output().unwrap().shape(), &[28, 28, 256].into());
        // 1,735,488 of the 14,714,688 parameters, of which no kernel is left at zero.
        assert_eq!(model.network.parameters().0, 1_735_488);
        for weight in model.network.weights() {
            assert!(weight.values().iter().any(|&value| value != 0.0), "{}", weight.name());
            assert!(weight.values().iter().all(|value| value.is_finite()), "{}", weight.name());
        }
    }

    #[test]
    fn it_can_be_had_in_other_sizes() {
        let model = builtin_vgg16_at(64, 96).unwrap();
        assert_eq!(model.network.output().unwrap().shape(), &[8, 12, 256].into());
        assert!(builtin_vgg16_at(4, 4).is_err());
    }
}
