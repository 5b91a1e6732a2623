//! The configuration of one layer in Keras, as a layer of Lucida.
//!
//! Every option is looked at. One that changes what the layer computes and that Lucida has no counterpart for is refused
//! by name; one that matters to training alone (a regularizer, a constraint) is noted, so that nobody takes a model that
//! was trained with it for one that will be trained on with it.

use serde_json::{Map, Value};

use crate::nn::layers::{
    Activation, ActivationKind, AdaptiveAveragePooling2D, Add, AveragePooling2D, BatchNormalization, Concatenate,
    Conv2D, Dense, Dropout, Flatten, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D, Padding, Rescaling,
    ZeroPadding2D,
};
use crate::nn::{Initializer, Layer, Shape};

/// The classes of Keras that become a layer, for messages.
pub(super) const SUPPORTED: &str = "InputLayer, Conv2D, Dense, MaxPooling2D, AveragePooling2D, AdaptiveAveragePooling2D, \
     GlobalAveragePooling2D, GlobalMaxPooling2D, BatchNormalization, Rescaling, Normalization, Activation, ReLU, LeakyReLU, \
     Softmax, Dropout, Flatten, ZeroPadding2D, Concatenate, Add, layers that augment images (RandomFlip and others), and models within models (Sequential, Functional)";

/// Layers that do nothing outside of training.
const AUGMENTATION: [&str; 25] = [
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomTranslation",
    "RandomContrast",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "GaussianNoise",
    "GaussianDropout",
    "SpatialDropout2D",
    "AlphaDropout",
    "ActivityRegularization",
    "Identity",
];

/// Whether layers of a class do nothing outside of training.
pub(super) fn augments(class: &str) -> bool {
    AUGMENTATION.contains(&class)
}

/// The layer of this class and configuration, for inputs of this many dimensions (without the batch).
///
/// # Errors
/// What cannot be represented, without the layer's name.
pub(super) fn layer(
    class: &str,
    config: &Map<String, Value>,
    input: &Shape,
    notes: &mut Vec<String>,
) -> Result<Layer, String> {
    let mut options = Options { config, seen: vec!["name", "trainable", "batch_input_shape", "batch_shape"], notes };
    options.dtype()?;
    let layer: Layer = match class {
        "Conv2D" | "Convolution2D" => {
            let [filters] = options.sizes("filters")?;
            options.channels_last()?;
            options.must_be("dilation_rate", &[Value::from(1), Value::from(vec![1, 1])])?;
            options.must_be("groups", &[Value::from(1)])?;
            let conv = Conv2D {
                use_bias: options.flag("use_bias", true)?,
                kernel_initializer: options.initializer("kernel_initializer")?,
                ..Conv2D::new(filters, options.sizes("kernel_size")?)
                    .strides(options.sizes_or("strides", [1, 1])?)
                    .padding(options.padding()?)
                    .activation(options.activation("activation")?)
            };
            options.note(&["bias_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer"]);
            options.note(&["kernel_constraint", "bias_constraint"]);
            conv.into()
        }
        "Dense" => {
            let [units] = options.sizes("units")?;
            options.must_be("quantization_config", &[])?;
            options.must_be("lora_rank", &[])?;
            options.ignore(&["input_dim", "lora_alpha"]);
            options.note(&["bias_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer"]);
            options.note(&["kernel_constraint", "bias_constraint"]);
            Dense {
                use_bias: options.flag("use_bias", true)?,
                kernel_initializer: options.initializer("kernel_initializer")?,
                ..Dense::new(units).activation(options.activation("activation")?)
            }
            .into()
        }
        "MaxPooling2D" | "MaxPool2D" => {
            let (pool, strides, padding) = options.pooling()?;
            MaxPooling2D::new(pool).strides(strides).padding(padding).into()
        }
        "AveragePooling2D" | "AvgPool2D" => {
            let (pool, strides, padding) = options.pooling()?;
            AveragePooling2D::new(pool).strides(strides).padding(padding).into()
        }
        "AdaptiveAveragePooling2D" => {
            options.channels_last()?;
            AdaptiveAveragePooling2D::new(options.sizes("output_size")?).into()
        }
        "GlobalAveragePooling2D" | "GlobalAvgPool2D" => {
            options.global_pooling()?;
            GlobalAveragePooling2D::new().into()
        }
        "GlobalMaxPooling2D" | "GlobalMaxPool2D" => {
            options.global_pooling()?;
            GlobalMaxPooling2D::new().into()
        }
        "BatchNormalization" | "BatchNormalizationV1" | "SyncBatchNormalization" => {
            options.last_axis("axis", input)?;
            options.must_be("renorm", &[Value::from(false)])?;
            options.must_be("virtual_batch_size", &[])?;
            options.ignore(&["renorm_clipping", "renorm_momentum", "fused", "synchronized", "adjustment"]);
            options.ignore(&["beta_initializer", "gamma_initializer"]);
            options.ignore(&["moving_mean_initializer", "moving_variance_initializer"]);
            options.note(&["beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint"]);
            BatchNormalization {
                momentum: options.number("momentum", 0.99)?,
                epsilon: options.number("epsilon", 1e-3)?,
                center: options.flag("center", true)?,
                scale: options.flag("scale", true)?,
            }
            .into()
        }
        "Rescaling" => {
            let rescaling = Rescaling { scale: options.values("scale", 1.0)?, offset: options.values("offset", 0.0)? };
            options.ignore(&["data_format"]);
            rescaling.into()
        }
        "Normalization" => options.normalization(input)?,
        "Activation" => Activation::new(options.activation("activation")?).into(),
        "ReLU" | "LeakyReLU" => {
            options.seen.extend(["max_value", "negative_slope", "threshold", "alpha"]);
            Activation::new(rectifier(class, config)?).into()
        }
        "Softmax" => {
            options.last_axis("axis", input)?;
            Activation::new(ActivationKind::Softmax).into()
        }
        "Dropout" => {
            options.must_be("noise_shape", &[])?;
            options.ignore(&["seed"]);
            Dropout::new(options.number("rate", 0.5)?).into()
        }
        // They change images in training alone; what they do then is left to this program's own augmentation.
        class if AUGMENTATION.contains(&class) => {
            options.seen.extend(config.keys().map(String::as_str));
            options.notes.push(format!("{class}: augments in training only, left out"));
            Activation::new(ActivationKind::Linear).into()
        }
        "Flatten" => {
            options.channels_last()?;
            Flatten::new().into()
        }
        "ZeroPadding2D" => {
            options.channels_last()?;
            ZeroPadding2D { padding: options.border("padding")? }.into()
        }
        "Concatenate" => {
            options.last_axis("axis", input)?;
            Concatenate::new().into()
        }
        "Add" => Add::new().into(),
        _ => return Err(format!("{class} layers are not supported, only {SUPPORTED}")),
    };
    options.nothing_left()?;
    Ok(layer)
}

/// The options of a layer, and which of them have been looked at.
struct Options<'a> {
    config: &'a Map<String, Value>,
    seen: Vec<&'a str>,
    notes: &'a mut Vec<String>,
}

impl<'a> Options<'a> {
    /// An option; `None` when it is absent or null.
    fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.seen.push(name);
        self.config.get(name).filter(|value| !value.is_null())
    }

    fn ignore(&mut self, names: &[&'static str]) {
        self.seen.extend(names);
    }

    /// Options that matter to training alone.
    fn note(&mut self, names: &[&'static str]) {
        for &name in names {
            if let Some(value) = self.get(name) {
                let initial = value["class_name"] == "Zeros" || *value == "zeros";
                if !initial {
                    self.notes.push(format!("{name} {}", short(value)));
                }
            }
        }
    }

    /// Refuses an option unless it is absent, null, or one of these values.
    fn must_be(&mut self, name: &'static str, allowed: &[Value]) -> Result<(), String> {
        match self.get(name) {
            Some(value) if !allowed.contains(value) => Err(format!("{name} {} is not supported", short(value))),
            _ => Ok(()),
        }
    }

    fn channels_last(&mut self) -> Result<(), String> {
        self.must_be("data_format", &[Value::from("channels_last")])
    }

    /// Keras's policies of precision. Weights of 16 and 64 bits are read as 32-bit floats.
    fn dtype(&mut self) -> Result<(), String> {
        let Some(value) = self.get("dtype") else { return Ok(()) };
        let name = value["config"]["name"].as_str().or_else(|| value.as_str());
        match name {
            Some("float32") => Ok(()),
            Some(name @ ("mixed_float16" | "mixed_bfloat16" | "float16" | "float64")) => {
                self.notes.push(format!("dtype {name}: computed in float32"));
                Ok(())
            }
            _ => Err(format!("dtype {} is not supported, only float16, float32 and float64", short(value))),
        }
    }

    fn nothing_left(&self) -> Result<(), String> {
        let neutral = |value: &Value| value.is_null() || *value == false;
        match self.config.iter().find(|(name, value)| !self.seen.contains(&name.as_str()) && !neutral(value)) {
            Some((name, value)) => Err(format!("option {name} ({}) is not supported", short(value))),
            None => Ok(()),
        }
    }

    fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, String> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| format!("{name} is {}, not true or false", short(value))),
        }
    }

    fn number(&mut self, name: &'static str, default: f32) -> Result<f32, String> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => {
                value.as_f64().map(|n| n as f32).ok_or_else(|| format!("{name} is {}, not a number", short(value)))
            }
        }
    }

    /// A number, or a list of them, however deep: `[[[1.0, 2.0, 3.0]]]` is what a mean per channel is stored as.
    fn values(&mut self, name: &'static str, default: f32) -> Result<Vec<f32>, String> {
        fn collect(value: &Value, values: &mut Vec<f32>) -> bool {
            match value {
                Value::Array(list) => list.iter().all(|value| collect(value, values)),
                value => value.as_f64().inspect(|&number| values.push(number as f32)).is_some(),
            }
        }
        let Some(value) = self.get(name) else { return Ok(vec![default]) };
        let mut values = Vec::new();
        match collect(value, &mut values) && !values.is_empty() {
            true => Ok(values),
            false => Err(format!("{name} is {}, not a number or a list of numbers", short(value))),
        }
    }

    /// `(x - mean) / max(sqrt(variance), epsilon)`: with the statistics in the configuration a rescaling, with those of
    /// `adapt()` in the weights a batch normalization that no training changes.
    fn normalization(&mut self, input: &Shape) -> Result<Layer, String> {
        /// That of Keras's backend: so small that it matters to a variance of zero alone.
        const EPSILON: f32 = 1e-14;
        let whole = self.get("axis").is_some_and(|axis| axis.as_array().is_some_and(Vec::is_empty));
        if !whole && self.config.get("axis") != Some(&Value::Null) {
            self.last_axis("axis", input)?;
        }
        self.must_be("invert", &[Value::from(false)])?;
        self.ignore(&["input_mean", "input_variance"]);
        if self.get("mean").is_none() {
            if whole || self.config.get("axis") == Some(&Value::Null) {
                return Err("axis None with adapted statistics is not supported, only the last axis".into());
            }
            self.ignore(&["variance"]);
            return Ok(BatchNormalization { momentum: 0.99, epsilon: EPSILON, center: false, scale: false }.into());
        }
        let (mean, variance) = (self.values("mean", 0.0)?, self.values("variance", 1.0)?);
        let scale: Vec<f32> = variance.iter().map(|variance| 1.0 / variance.sqrt().max(1e-7)).collect();
        let len = mean.len().max(scale.len());
        let at =
            |values: &[f32], index: usize| if values.len() == 1 { values[0] } else { values[index % values.len()] };
        let offset = (0..len).map(|index| -at(&mean, index) * at(&scale, index)).collect();
        Ok(Rescaling { scale, offset }.into())
    }

    /// One or several sizes; a single number stands for all.
    fn sizes<const N: usize>(&mut self, name: &'static str) -> Result<[usize; N], String> {
        let value = self.get(name).ok_or_else(|| format!("has no {name}"))?;
        numbers(value).ok_or_else(|| format!("{name} is {}, expected {N} whole numbers", short(value)))
    }

    fn sizes_or<const N: usize>(&mut self, name: &'static str, default: [usize; N]) -> Result<[usize; N], String> {
        if self.get(name).is_none() { Ok(default) } else { self.sizes(name) }
    }

    fn padding(&mut self) -> Result<Padding, String> {
        match self.get("padding").map_or(Some("valid"), Value::as_str) {
            Some("valid") => Ok(Padding::Valid),
            Some("same") => Ok(Padding::Same),
            _ => Err(format!("padding {} is not supported, only valid and same", short(&self.config["padding"]))),
        }
    }

    fn pooling(&mut self) -> Result<([usize; 2], [usize; 2], Padding), String> {
        self.channels_last()?;
        let pool = self.sizes_or("pool_size", [2, 2])?;
        Ok((pool, self.sizes_or("strides", pool)?, self.padding()?))
    }

    fn global_pooling(&mut self) -> Result<(), String> {
        self.channels_last()?;
        self.must_be("keepdims", &[Value::from(false)])
    }

    /// An axis that must be the last one, counted with the batch.
    fn last_axis(&mut self, name: &'static str, input: &Shape) -> Result<(), String> {
        let last = input.sizes().len();
        self.must_be(name, &[Value::from(-1), Value::from(last), Value::from(vec![-1]), Value::from(vec![last])])
            .map_err(|problem| format!("{problem}, only the last axis is"))
    }

    /// `n`, `[rows, columns]` or `[[top, bottom], [left, right]]`.
    fn border(&mut self, name: &'static str) -> Result<[[usize; 2]; 2], String> {
        let value = self.get(name).ok_or_else(|| format!("has no {name}"))?;
        if let Some([rows, columns]) = numbers::<2>(value) {
            return Ok([[rows; 2], [columns; 2]]);
        }
        match value.as_array().map(Vec::as_slice) {
            Some([rows, columns]) => numbers(rows).zip(numbers(columns)).map(|(rows, columns)| [rows, columns]),
            _ => None,
        }
        .ok_or_else(|| format!("{name} is {}, expected [[top, bottom], [left, right]]", short(value)))
    }

    fn activation(&mut self, name: &'static str) -> Result<ActivationKind, String> {
        let Some(value) = self.get(name) else { return Ok(ActivationKind::Linear) };
        let config = &value["config"];
        // A layer in place of a function.
        if let (Some(class @ ("ReLU" | "LeakyReLU")), Some(config)) = (value["class_name"].as_str(), config.as_object())
        {
            return rectifier(class, config).map_err(|problem| format!("{name} {class}: {problem}"));
        }
        let named = value.as_str().or_else(|| config.as_str()).or_else(|| match value["class_name"].as_str() {
            Some("Softmax") if config["axis"].as_i64().is_none_or(|axis| axis == -1) => Some("softmax"),
            Some("Activation") => config["activation"].as_str(),
            _ => None,
        });
        match named {
            Some("linear") => Ok(ActivationKind::Linear),
            Some("relu") => Ok(ActivationKind::Relu),
            Some("sigmoid") => Ok(ActivationKind::Sigmoid),
            Some("tanh") => Ok(ActivationKind::Tanh),
            Some("softmax") => Ok(ActivationKind::Softmax),
            Some("log_softmax") => Ok(ActivationKind::LogSoftmax),
            Some("leaky_relu") => Ok(ActivationKind::LeakyRelu { negative_slope: 0.2 }),
            Some("relu6") => Ok(ActivationKind::Relu6),
            Some("hard_tanh") => Ok(ActivationKind::Clip { min: -1.0, max: 1.0 }),
            _ => Err(format!(
                "{name} {} is not supported, only linear, relu, relu6, leaky_relu, sigmoid, tanh, hard_tanh, softmax and log_softmax",
                short(value)
            )),
        }
    }

    fn initializer(&mut self, name: &'static str) -> Result<Initializer, String> {
        let Some(value) = self.get(name) else { return Ok(Initializer::GlorotUniform) };
        match value["class_name"].as_str().or_else(|| value.as_str()) {
            Some("GlorotUniform" | "glorot_uniform") => Ok(Initializer::GlorotUniform),
            Some("HeUniform" | "he_uniform") => Ok(Initializer::HeUniform),
            Some("HeNormal" | "he_normal") => Ok(Initializer::HeNormal),
            Some("Zeros" | "zeros") => Ok(Initializer::Zeros),
            Some("Ones" | "ones") => Ok(Initializer::Ones),
            // `VarianceScaling` of old files is what Glorot's rule is a case of; the weights are read anyway.
            _ => {
                self.notes.push(format!("{name} {}", short(value)));
                Ok(Initializer::GlorotUniform)
            }
        }
    }
}

/// The layers ReLU (`max_value`, `negative_slope`, `threshold`) and LeakyReLU (`negative_slope`, `alpha` in Keras 2).
fn rectifier(class: &str, config: &Map<String, Value>) -> Result<ActivationKind, String> {
    let number = |name: &str| match config.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_f64().map(|number| number as f32);
            number.map(Some).ok_or_else(|| format!("{name} is {}, not a number", short(value)))
        }
    };
    let most = number("max_value")?;
    let slope = number("negative_slope")?.or(number("alpha")?);
    // PyTorch has 0.01 here, Keras 0.3.
    let slope = slope.unwrap_or(if class == "LeakyReLU" { 0.3 } else { 0.0 });
    let threshold = number("threshold")?.unwrap_or(0.0);
    let kind = match most {
        _ if threshold != 0.0 => return Err(format!("threshold {threshold} is not supported, only 0")),
        None if slope == 0.0 => ActivationKind::Relu,
        None => ActivationKind::LeakyRelu { negative_slope: slope },
        Some(most) if slope != 0.0 => {
            return Err(format!("max_value {most} together with negative_slope {slope} is not supported"));
        }
        Some(6.0) => ActivationKind::Relu6,
        Some(most) => ActivationKind::Clip { min: 0.0, max: most },
    };
    kind.check().map(|()| kind)
}

/// `N` whole numbers; a single one stands for all.
fn numbers<const N: usize>(value: &Value) -> Option<[usize; N]> {
    let number = |value: &Value| usize::try_from(value.as_u64()?).ok();
    match value.as_array() {
        Some(values) => values.iter().map(number).collect::<Option<Vec<_>>>()?.try_into().ok(),
        None => number(value).map(|size| [size; N]),
    }
}

/// A value for a message: its class, or itself if it is short.
pub(super) fn short(value: &Value) -> String {
    if let Some(class) = value["class_name"].as_str() {
        return class.chars().take(60).collect();
    }
    let text = value.as_str().map_or_else(|| value.to_string(), |text| format!("{text:?}"));
    if text.chars().count() <= 60 { text } else { format!("{}...", text.chars().take(57).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(class: &str, config: Value) -> Result<(Layer, Vec<String>), String> {
        let mut notes = Vec::new();
        let input = Shape::from([4, 5, 3]);
        layer(class, config.as_object().unwrap(), &input, &mut notes).map(|layer| (layer, notes))
    }

    fn rescaling(class: &str, config: Value) -> Rescaling {
        match read(class, config).unwrap().0 {
            Layer::Rescaling(rescaling) => rescaling,
            other => panic!("{other:?}"),
        }
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
        for class in ["RandomFlip", "RandomRotation", "RandomZoom", "GaussianNoise"] {
            let (layer, notes) =
                read(class, json!({"name": "x", "seed": 1, "factor": [0.1, 0.2], "mode": "horizontal"})).unwrap();
            assert_eq!(layer, Activation::new(ActivationKind::Linear).into());
            assert_eq!(notes, [format!("{class}: augments in training only, left out")]);
        }
        assert!(read("RandomCrop", json!({"height": 2, "width": 2})).is_err());
    }
}
