//! Converting Keras's layers.

use serde_json::{Map, Value};

use crate::nn::keras_config::KerasConfig;
use crate::nn::{Layer, Shape};
use crate::similar::nearest_names;

/// Suggestions for an unsupported Keras class, for messages.
fn instead(class: &str) -> String {
    let plain = class.to_lowercase();
    let recurrent = ["lstm", "gru", "rnn", "bidirectional"].iter().any(|kind| plain.contains(kind));
    if recurrent || plain.contains("attention") {
        return format!(
            "{}, and Lucida takes convolutional networks",
            if recurrent { " (a recurrent layer)" } else { "" }
        );
    }
    let near = nearest_names(class, Layer::keras_classes(), 2);
    match near.as_slice() {
        [] => "; docs/models.md lists the layers that are".into(),
        near => format!("; {} is; docs/models.md lists all", near.join(" or ")),
    }
}

/// The layer for this class and these options of Keras 2 or 3, for inputs of this shape (without the batch).
///
/// # Errors
/// What is not supported, without the layer's name.
pub(super) fn layer(
    class: &str,
    options: &Map<String, Value>,
    input: &Shape,
    keras_2: bool,
    notes: &mut Vec<String>,
) -> Result<Layer, String> {
    let mut config = KerasConfig::new(options, input, notes).of_keras_2(keras_2);
    config.dtype()?;
    let layer = Layer::from_keras(class, &mut config);
    let layer = layer.ok_or_else(|| format!("{class} layers are not supported{}", instead(class)))??;
    config.nothing_left()?;
    Ok(layer)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;
    use crate::nn::layers::{Activation, ActivationKind, AspectRatio, Rescaling, Resizing};

    fn read(class: &str, config: Value) -> Result<(Layer, Vec<String>), String> {
        let mut notes = Vec::new();
        let input = Shape::from([4, 5, 3]);
        layer(class, config.as_object().unwrap(), &input, false, &mut notes).map(|layer| (layer, notes))
    }

    fn rescaling(class: &str, config: Value) -> Rescaling {
        match read(class, config).unwrap().0 {
            Layer::Rescaling(rescaling) => rescaling,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_say_where_the_list_is() {
        let classes = Layer::keras_classes();
        assert_eq!(classes.iter().collect::<HashSet<_>>().len(), classes.len(), "{classes:?}");
        let message = |class: &str| read(class, json!({})).unwrap_err();
        assert_eq!(
            message("LSTM"),
            "LSTM layers are not supported (a recurrent layer), and Lucida takes convolutional networks"
        );
        assert!(message("MultiHeadAttention").contains("convolutional networks"));
        assert_eq!(message("Conv3D"), "Conv3D layers are not supported; Conv2D or Conv1D is; docs/models.md lists all");
        assert_eq!(message("Xyz"), "Xyz layers are not supported; docs/models.md lists the layers that are");
    }

    #[test]
    fn a_rescaling_has_a_number_or_one_per_channel() {
        let config = json!({"name": "r", "dtype": "float32", "scale": 0.5, "offset": -1.0});
        assert_eq!(rescaling("Rescaling", config), Rescaling::new(0.5, -1.0));
        let config = json!({"scale": [0.5, 0.25, 1.0], "offset": 0});
        assert_eq!(rescaling("Rescaling", config), Rescaling { scale: vec![0.5, 0.25, 1.0], offset: vec![0.0] });
        assert!(read("Rescaling", json!({"scale": "half"})).unwrap_err().contains("half"));
    }

    #[test]
    fn a_normalization_has_its_statistics_in_the_configuration_or_in_weights() {
        let config =
            json!({"axis": [-1], "invert": false, "mean": [[[[1.0, 2.0, 3.0]]]], "variance": [[[[4.0, 4.0, 1.0]]]]});
        let expected = Rescaling { scale: vec![0.5, 0.5, 1.0], offset: vec![-0.5, -1.0, -3.0] };
        assert_eq!(rescaling("Normalization", config), expected);
        let config = json!({"axis": null, "mean": 2.0, "variance": 4.0});
        assert_eq!(rescaling("Normalization", config), Rescaling::new(0.5, -1.0));
        let (adapted, _) = read("Normalization", json!({"axis": [-1], "mean": null, "variance": null})).unwrap();
        assert!(matches!(adapted, Layer::BatchNormalization(norm) if !norm.center && !norm.scale), "{adapted:?}");
        for (config, expected) in [
            (json!({"axis": [1]}), "last axis"),
            (json!({"axis": null}), "axis None"),
            (json!({"invert": true}), "invert"),
        ] {
            let problem = read("Normalization", config).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn layers_that_augment_do_nothing_in_use() {
        for (class, config, expected) in [
            ("RandomFlip", json!({"mode": "horizontal", "seed": 1}), "to train with it: --augment flip"),
            ("RandomFlip", json!({"mode": "horizontal_and_vertical"}), "to train with it: --augment flip,vflip"),
            ("RandomRotation", json!({"factor": [-0.1, 0.1]}), "to train with it: --augment rotation=36"),
            ("RandomZoom", json!({"height_factor": 0.2, "width_factor": null}), "to train with it: --augment zoom=0.2"),
            (
                "RandomTranslation",
                json!({"height_factor": [-0.1, 0.1], "width_factor": 0.3}),
                "to train with it: --augment height=0.1,width=0.3",
            ),
            ("RandomContrast", json!({"factor": 0.4}), "to train with it: --augment jitter=0.4"),
            ("RandomInvert", json!({"factor": 0.4}), "Lucida has no such augmentation"),
        ] {
            let (layer, notes) = read(class, config).unwrap();
            assert_eq!(layer, Activation::new(ActivationKind::Linear).into());
            assert_eq!(notes, [format!("{class}: identity in inference; {expected}")]);
            let augment = expected.split_once("--augment ").map(|(_, augment)| augment);
            assert!(augment.is_none_or(|augment| augment.parse::<crate::data::Augment>().is_ok()));
        }
        let (layer, notes) = read("RandomCrop", json!({"height": 2, "width": 2, "seed": 3})).unwrap();
        assert_eq!(layer, Resizing { aspect_ratio: AspectRatio::Crop, ..Resizing::new(2, 2) }.into());
        assert!(notes[0].contains("--augment crop="), "{notes:?}");
    }

    #[test]
    fn layers_that_move_values_are_read_in_both_spellings() {
        let shape = |class: &str, config: Value| {
            let (layer, _) = read(class, config)?;
            layer.spec().output_shape(&[[4, 5, 3].into()]).map(|shape| shape.sizes().to_vec())
        };
        for (class, config, expected) in [
            ("Reshape", json!({"target_shape": [-1, 6]}), &[10, 6][..]),
            ("Reshape", json!({"target_shape": [null, 6]}), &[10, 6]),
            ("Reshape", json!({"newshape": [-1, 20, 3]}), &[20, 3]),
            ("Permute", json!({"dims": [3, 1, 2]}), &[3, 4, 5]),
            ("Transpose", json!({"axes": [0, 2, 1, 3]}), &[5, 4, 3]),
            ("ExpandDims", json!({"axis": -1}), &[4, 5, 3, 1]),
            ("Cropping2D", json!({"cropping": 1, "data_format": "channels_last"}), &[2, 3, 3]),
            ("Cropping2D", json!({"cropping": [[1, 2], [0, 3]]}), &[1, 2, 3]),
            ("UpSampling2D", json!({"size": 2, "interpolation": "nearest"}), &[8, 10, 3]),
            ("CenterCrop", json!({"height": 2, "width": 3}), &[2, 3, 3]),
            ("Resizing", json!({"height": 8, "width": 9, "interpolation": "bicubic"}), &[8, 9, 3]),
            ("Resize", json!({"size": [8, 9], "data_format": null}), &[8, 9, 3]),
            ("AdaptiveMaxPooling2D", json!({"output_size": [2, 3]}), &[2, 3, 3]),
            ("GlobalMaxPooling2D", json!({"keepdims": true}), &[1, 1, 3]),
            ("Mean", json!({"axis": [1, 2], "keepdims": false}), &[3]),
            ("SpaceToDepth", json!({"block_size": 1}), &[4, 5, 3]),
        ] {
            assert_eq!(shape(class, config.clone()).unwrap(), expected, "{class} {config}");
        }
        for (class, config, expected) in [
            ("Reshape", json!({"newshape": [4, 15]}), "shape"),
            ("Transpose", json!({"axes": [1, 0, 2, 3]}), "axes"),
            ("Squeeze", json!({"axis": 1}), "axis"),
            ("Mean", json!({"axis": [3]}), "axis"),
            ("Resizing", json!({"height": 8, "width": 9, "interpolation": "lanczos3"}), "lanczos3"),
            (
                "Resizing",
                json!({"height": 8, "width": 9, "pad_to_aspect_ratio": true, "fill_value": 1.0}),
                "fill_value",
            ),
            ("UpSampling2D", json!({"data_format": "channels_first"}), "data_format"),
        ] {
            assert!(shape(class, config).unwrap_err().contains(expected), "{class}");
        }
    }

    #[test]
    fn names_that_changed_their_meaning() {
        let hard_sigmoid = |keras_2| {
            let config = json!({ "activation": "hard_sigmoid" });
            let options = config.as_object().unwrap();
            layer("Activation", options, &Shape::from([4]), keras_2, &mut Vec::new()).unwrap()
        };
        let of = |slope| Layer::from(Activation::new(ActivationKind::HardSigmoid { slope, offset: 0.5 }));
        assert_eq!([hard_sigmoid(true), hard_sigmoid(false)], [of(0.2), of(1.0 / 6.0)]);
    }

    #[test]
    fn activations_in_all_spellings() {
        let kind = |class: &str, config: Value| match read(class, config).unwrap().0 {
            Layer::Activation(layer) => layer.activation,
            other => panic!("{other:?}"),
        };
        let named = |name: &str| kind("Activation", json!({ "activation": name }));
        assert_eq!([named("swish"), named("silu")], [ActivationKind::Silu; 2]);
        assert_eq!([named("hard_swish"), named("hard_silu")], [ActivationKind::HardSilu; 2]);
        let object = json!({ "class_name": "function", "config": "gelu", "registered_name": "gelu" });
        assert_eq!(kind("Activation", json!({ "activation": object })), ActivationKind::Gelu);
        let nested = json!({ "class_name": "ELU", "config": { "alpha": 0.5 } });
        assert_eq!(kind("Activation", json!({ "activation": nested })), ActivationKind::Elu { alpha: 0.5 });
        assert_eq!(kind("ELU", json!({ "alpha": 0.5 })), ActivationKind::Elu { alpha: 0.5 });
        assert_eq!(kind("LeakyReLU", json!({ "alpha": 0.1 })), ActivationKind::LeakyRelu { negative_slope: 0.1 });
        let general = ActivationKind::GeneralRelu { negative_slope: 0.05, threshold: 0.1, max_value: Some(6.0) };
        let config = json!({ "max_value": 6, "negative_slope": 0.05, "threshold": 0.1 });
        assert_eq!(kind("ReLU", config), general);
        let above = ActivationKind::GeneralRelu { negative_slope: 0.0, threshold: 2.0, max_value: None };
        assert_eq!(kind("ThresholdedReLU", json!({ "theta": 2.0 })), above);
        let problem = read("Activation", json!({ "activation": "sparsemax" })).unwrap_err();
        assert!(problem.contains("\"sparsemax\" is not supported; docs/models.md"), "{problem}");
    }

    #[test]
    fn dropouts_with_a_noise_shape() {
        let class =
            |shape: Value| read("Dropout", json!({ "rate": 0.5, "noise_shape": shape })).unwrap().0.class_name();
        assert_eq!(class(json!([null, 1, 1, 1])), "StochasticDepth");
        assert_eq!(class(json!([null, 1, 1, null])), "SpatialDropout2D");
        assert_eq!(class(json!([null, 4, 5, 3])), "Dropout");
        assert!(read("Dropout", json!({ "rate": 0.5, "noise_shape": [1, 1] })).is_err());
    }
}
