//! Stores the weights of EfficientNet-Lite0 in a third of the bytes, and measures how often the classifier then answers as
//! before:
//! `cargo run --release -p lucida-programs --bin efficientnet_lite0 -- WEIGHTS FILE.safetensors [PHOTOS]`; WEIGHTS is
//! `efficientnet-lite0-57934424.pth`.
//!
//! The kernels of dense layers and 1x1 convolutions become integers with one scale per output channel, if they have many
//! values; all else becomes 16-bit floats.

use std::error::Error;
use std::path::PathBuf;

use half::f16;
use lucida::Cpu;
use lucida::data::{Dataset, Folder};
use lucida::model::{Predicted, predict_set};
use lucida::nn::{Network, Weight};
use lucida::weights::{self, Model};
use safetensors::{Dtype, tensor::TensorView};

/// Bits of an integer. On 1,000 photos of cats and dogs, the class stays the same for 90 to 97 % with 8 bits, for 98.6 %
/// with 9, for 99.4 % with 10, and for 99.7 % with 16-bit floats.
const BITS: u32 = 10;
/// Values of a kernel that is stored as integers; smaller ones have few of all values.
const MANY: usize = 20_000;

/// A tensor of the file.
struct Stored {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to, photos @ ..] = &arguments[..] else {
        return Err("expected FROM.pth TO.safetensors [PHOTOS]".into());
    };
    let model = weights::load_model(from)?;
    let mut rounded = model.network.clone();
    let mut stored = Vec::new();
    for weight in rounded.weights_mut() {
        store(weight, &mut stored);
    }
    let views = stored.iter().map(|tensor| {
        TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).map(|view| (tensor.name.as_str(), view))
    });
    std::fs::write(to, safetensors::serialize(views.collect::<Result<Vec<_>, _>>()?, None)?)?;
    println!("{}: {} bytes", to.display(), to.metadata()?.len());
    if let [photos] = photos {
        agreement(model, rounded, photos)?;
    }
    Ok(())
}

/// Rounds a weight, and adds it to what is stored.
fn store(weight: &mut Weight, stored: &mut Vec<Stored>) {
    let (name, shape) = (weight.name().replace('/', "."), weight.shape().to_vec());
    let values = weight.values_mut();
    let is_product = matches!(shape[..], [_, _] | [1, 1, _, _]);
    if values.len() <= MANY || !is_product {
        let bytes = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        values.iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32());
        return stored.push(Stored { name, dtype: Dtype::F16, shape, bytes });
    }
    let channels = shape.last().copied().unwrap_or(1);
    let largest = ((1 << (BITS - 1)) - 1) as f32;
    let scale = |channel: usize| {
        let of_channel = values.iter().skip(channel).step_by(channels);
        of_channel.fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs())) / largest
    };
    let scales: Vec<f32> = (0..channels).map(scale).collect();
    let rounded = |(at, value): (usize, &f32)| (value / scales[at % channels]).round() as i32;
    let integers: Vec<i32> = values.iter().enumerate().map(rounded).collect();
    values.iter_mut().enumerate().for_each(|(at, value)| *value = integers[at] as f32 * scales[at % channels]);
    let packed = pack(&integers);
    stored.push(Stored { name: name.clone(), dtype: Dtype::U8, shape: vec![packed.len()], bytes: packed });
    let bytes = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
    stored.push(Stored { name: format!("{name}.scale"), dtype: Dtype::F32, shape: vec![channels], bytes });
}

/// Integers in two's complement end to end, the lowest bit first.
fn pack(integers: &[i32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut held, mut count) = (0_u64, 0);
    for &integer in integers {
        held |= (u64::from(integer as u32) & ((1 << BITS) - 1)) << count;
        count += BITS;
        while count >= 8 {
            bytes.push(held as u8);
            held >>= 8;
            count -= 8;
        }
    }
    if count > 0 {
        bytes.push(held as u8);
    }
    bytes
}

/// How many of the images of a folder have the same class.
fn agreement(model: Model, rounded: Network, photos: &PathBuf) -> Result<(), Box<dyn Error>> {
    let (images, _) = Folder::builder(photos).list()?;
    let classes = |model: &Model| -> lucida::Result<Vec<usize>> {
        let mut classes = vec![0; images.len()];
        let order: Vec<usize> = (0..images.len()).collect();
        predict_set(model, &images, &order, Cpu::detect(), |index, predicted| {
            if let Predicted::Class(found) = predicted {
                classes[index] = found.class;
            }
            Ok(())
        })?;
        Ok(classes)
    };
    let (before, after) = (classes(&model)?, classes(&Model { network: rounded, ..model })?);
    let same = before.iter().zip(&after).filter(|(before, after)| before == after).count();
    println!("the same class for {same} of {} images", images.len());
    Ok(())
}
