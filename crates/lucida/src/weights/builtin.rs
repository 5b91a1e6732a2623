//! Networks that are built into the library, so that predictions, explanations and style transfer need no download.

use lucida_assets::{Asset, DIGITS};
use safetensors::{Dtype, SafeTensors};

use super::floats::Float;
use super::{Model, parse_class_names};
use crate::data::{Preprocessing, asset_bytes};
use crate::nn::applications::{self, Architecture};
use crate::nn::{Network, Weight};
use crate::{Error, Result};

/// The architecture of the built-in classifier.
pub const CLASSIFIER: &str = "efficientnet-lite0";

/// The number of classes of the ImageNet challenge.
const IMAGENET_CLASSES: usize = 1000;

/// Whether the weights of a known network are built in.
pub fn is_builtin(known: &Architecture) -> bool {
    known.name == CLASSIFIER
}

/// The built-in classifier: EfficientNet-Lite0, trained on the 1,000 classes of ImageNet (published top-1 accuracy: 75.1
/// %), for images of 224x224 pixels. Its large kernels are quantized to 10 bits, the other weights to 16-bit floats: for
/// 99.4 % of 1,000 photos of cats and dogs, the predicted class is unchanged.
///
/// ```
/// use lucida::prelude::*;
///
/// let model = lucida::weights::builtin_classifier()?;
/// let photo = Image::filled(300, 200, &[90, 120, 200]);
/// let Predicted::Class(found) = &model.predict(&[photo])?[0] else { panic!("a softmax predicts a class") };
/// println!("{} {:.1} %", model.class_name(found.class), 100.0 * found.probabilities[found.class]);
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// None in practice.
pub fn builtin_classifier() -> Result<Model> {
    let known = applications::find(CLASSIFIER)?;
    let mut model = Model::of_architecture(known, &applications::Options::default())?;
    fill(&mut model.network, CLASSIFIER, &lucida_efficientnet_lite0::WEIGHTS)?;
    name_imagenet_classes(&mut model)?;
    Ok(model)
}

/// The built-in digit classifier: `mnist-cnn` with the weights of a run over 8,000 of the built-in digits, which classifies
/// 99.1 % of the other 2,000 correctly. For images of 28x28 pixels as MNIST has them; drawings and photos are prepared alike.
///
/// # Errors
/// None in practice.
pub fn builtin_digits() -> Result<Model> {
    Model::from_bytes(DIGITS.name, asset_bytes(&DIGITS)?.into_owned())
}

/// Sets the ImageNet class names for a known network trained on ImageNet: all published ones have the same class order.
pub(super) fn name_imagenet_classes(model: &mut Model) -> Result<()> {
    let classes = model.network.output()?.shape().as_flat();
    if applications::find(model.network.name()).is_ok_and(|known| classes == Some(known.classes))
        && classes == Some(IMAGENET_CLASSES)
    {
        model.class_names = parse_class_names(lucida_efficientnet_lite0::CLASS_NAMES)?;
    }
    Ok(())
}

/// The first three blocks of VGG16 (seven convolutions, up to `block3_pool`) with ImageNet weights, for images of 224x224
/// pixels. The weights are rounded to 16-bit floats.
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
    fill(&mut network, "VGG16", &lucida_assets::VGG16_BLOCKS)?;
    let preprocessing = Some(Preprocessing::vgg().with_size(height, width));
    Ok(Model { preprocessing, ..Model::new(network) })
}

/// Loads the weights of the transformation network for the built-in style.
pub(crate) fn fill_brushwork(network: &mut Network) -> Result<()> {
    fill(network, "brushwork", &lucida_assets::BRUSHWORK_NETWORK)
}

/// Loads built-in weights into a network. A quantized kernel has a second tensor, `NAME.scale`, with the scale of each
/// channel.
fn fill(network: &mut Network, what: &str, asset: &Asset) -> Result<()> {
    let safetensors = asset_bytes(asset)?;
    let bug = |problem: String| Error::Bug(format!("the built-in {what}: {problem}"));
    let tensors = SafeTensors::deserialize(&safetensors).map_err(|problem| bug(problem.to_string()))?;
    for weight in network.weights_mut() {
        let dotted = weight.name().replace('/', ".");
        let name = if tensors.tensor(weight.name()).is_ok() { weight.name().to_owned() } else { dotted };
        let tensor = tensors.tensor(&name).map_err(|problem| bug(format!("{name}: {problem}")))?;
        let fits = match tensor.dtype() {
            Dtype::F16 if tensor.shape() == weight.shape() => {
                Float::F16.decode(tensor.data(), weight.values_mut());
                true
            }
            Dtype::U8 => {
                let scale = tensors.tensor(&format!("{name}.scale")).map_err(|problem| bug(problem.to_string()))?;
                let mut scales = vec![0.0; scale.data().len() / Float::F32.size()];
                Float::F32.decode(scale.data(), &mut scales);
                unpack(tensor.data(), &scales, weight)
            }
            _ => false,
        };
        if !fits {
            return Err(bug(format!("{name} is of type {:?} and shape {:?}", tensor.dtype(), tensor.shape())));
        }
    }
    Ok(())
}

/// Unpacks a quantized kernel: densely packed integers in two's complement, lowest bit first, times the scale of their
/// channel. Returns whether the sizes match.
fn unpack(bytes: &[u8], scales: &[f32], weight: &mut Weight) -> bool {
    let values = weight.values_mut();
    let bits = bytes.len() * 8 / values.len();
    if !(2..=16).contains(&bits) || scales.is_empty() || !values.len().is_multiple_of(scales.len()) {
        return false;
    }
    let mut bytes = bytes.iter();
    let (mut held, mut count) = (0_u32, 0);
    for pixel in values.chunks_exact_mut(scales.len()) {
        for (value, scale) in pixel.iter_mut().zip(scales) {
            while count < bits {
                held |= u32::from(bytes.next().copied().unwrap_or(0)) << count;
                count += 8;
            }
            // Shifting left and back extends the sign.
            let integer = ((held << (32 - bits)) as i32) >> (32 - bits);
            *value = integer as f32 * scale;
            held >>= bits;
            count -= bits;
        }
    }
    true
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
        // 1,735,488 of the 14,714,688 parameters, none of whose kernels is still zero.
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

    #[test]
    fn the_classifier_is_whole() {
        let model = builtin_classifier().unwrap();
        model.check().unwrap();
        assert_eq!(model.network.parameters().0, 4_694_024);
        assert_eq!((model.class_names.len(), model.class_names[281].as_str()), (1000, "tabby"));
        for weight in model.network.weights() {
            assert!(weight.values().iter().all(|value| value.is_finite()), "{}", weight.name());
        }
    }

    #[test]
    fn integers_of_any_bits_are_unpacked() {
        let mut network = applications::mnist_cnn(1).unwrap();
        let weights = network.weights_mut();
        let weight = weights.iter_mut().find(|weight| weight.shape() == [10]).unwrap();
        // Ten 3-bit integers: 1, -1, 3, -4, 0, twice.
        let bits = [0b001_u32, 0b111, 0b011, 0b100, 0b000].repeat(2);
        let held = bits.iter().rev().fold(0_u32, |held, bits| held << 3 | bits);
        assert!(unpack(&held.to_le_bytes(), &[1.0, 0.5], weight));
        assert_eq!(weight.values(), [1.0, -0.5, 3.0, -2.0, 0.0, 0.5, -1.0, 1.5, -4.0, 0.0]);
        assert!(!unpack(&held.to_le_bytes(), &[1.0; 3], weight) && !unpack(&[0], &[1.0], weight));
    }
}
