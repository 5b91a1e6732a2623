//! Reads the configuration of a Keras layer, option by option.
//!
//! Every option must be read. One that changes the layer's output and is not supported by Lucida is rejected by name; one
//! that only affects training (a regularizer, a constraint) is noted, so that further training is not assumed to use it.

use serde_json::{Map, Value};

use super::shape::Shape;

/// The options of a layer, and the names of those already read.
pub(crate) struct KerasConfig<'a> {
    options: &'a Map<String, Value>,
    input: &'a Shape,
    keras_2: bool,
    seen: Vec<&'a str>,
    notes: &'a mut Vec<String>,
}

impl<'a> KerasConfig<'a> {
    /// Creates a reader for the options of a layer whose first input has this shape, without the batch axis. Options that
    /// only affect training are added to `notes`.
    pub(crate) fn new(options: &'a Map<String, Value>, input: &'a Shape, notes: &'a mut Vec<String>) -> Self {
        Self {
            options,
            input,
            keras_2: false,
            seen: vec!["name", "trainable", "batch_input_shape", "batch_shape"],
            notes,
        }
    }

    /// Sets whether the options are those of Keras 2: a few names have different meanings in Keras 2 and 3.
    pub(crate) fn of_keras_2(self, keras_2: bool) -> Self {
        Self { keras_2, ..self }
    }

    /// Whether the options are those of Keras 2.
    pub(crate) fn is_keras_2(&self) -> bool {
        self.keras_2
    }

    /// The shape of the first input, without the batch axis.
    pub(crate) fn input(&self) -> &'a Shape {
        self.input
    }

    /// Reads one or several axes and converts them from Keras's numbering, which includes the batch axis, to axes of a
    /// sample, sorted. Returns `None` when the option is absent or null.
    pub(crate) fn axes(&mut self, name: &'static str) -> Result<Option<Vec<usize>>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let rank = self.input.sizes().len() as i64;
        let place = |value: &Value| {
            let axis = value.as_i64()?;
            let axis = if axis < 0 { axis + rank } else { axis - 1 };
            usize::try_from(axis).ok().filter(|&axis| (axis as i64) < rank)
        };
        let axes: Option<Vec<usize>> = match value.as_array() {
            Some(values) => values.iter().map(place).collect(),
            None => place(value).map(|axis| vec![axis]),
        };
        let mut axes = axes.ok_or_else(|| format!("{name} {} is not of an input of {}", short(value), self.input))?;
        axes.sort_unstable();
        axes.dedup();
        Ok(Some(axes))
    }

    /// All options, without marking them as read.
    pub(crate) fn options(&self) -> &'a Map<String, Value> {
        self.options
    }

    /// The shape of the first input, without the batch axis.
    pub(crate) fn input_shape(&self) -> &'a Shape {
        self.input
    }

    /// The rank of the first input, without the batch axis.
    pub(crate) fn rank(&self) -> usize {
        self.input.sizes().len()
    }

    /// Reads an option; `None` when it is absent or null.
    pub(crate) fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.seen.push(name);
        self.options.get(name).filter(|value| !value.is_null())
    }

    /// Marks options that do not affect any result as read.
    pub(crate) fn ignore(&mut self, names: &[&'static str]) {
        self.seen.extend(names);
    }

    /// Marks all options as read.
    pub(crate) fn ignore_all(&mut self) {
        self.seen.extend(self.options.keys().map(String::as_str));
    }

    /// Adds a note on the layer.
    pub(crate) fn add_note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Notes options that only affect training.
    pub(crate) fn note(&mut self, names: &[&'static str]) {
        for &name in names {
            if let Some(value) = self.get(name) {
                let initial = value["class_name"] == "Zeros" || *value == "zeros";
                if !initial {
                    self.notes.push(format!("{name} {}", short(value)));
                }
            }
        }
    }

    /// Rejects an option unless it is absent, null, or one of these values.
    pub(crate) fn must_be(&mut self, name: &'static str, allowed: &[Value]) -> Result<(), String> {
        match self.get(name) {
            Some(value) if !allowed.contains(value) => Err(format!("{name} {} is not supported", short(value))),
            _ => Ok(()),
        }
    }

    /// Rejects images whose channels come first.
    pub(crate) fn channels_last(&mut self) -> Result<(), String> {
        self.must_be("data_format", &[Value::from("channels_last")])
    }

    /// Rejects an axis other than the last one; axes include the batch axis.
    pub(crate) fn last_axis(&mut self, name: &'static str) -> Result<(), String> {
        let last = self.input.sizes().len();
        self.must_be(name, &[Value::from(-1), Value::from(last), Value::from(vec![-1]), Value::from(vec![last])])
            .map_err(|problem| format!("{problem}, only the last axis is"))
    }

    /// Reads Keras's dtype policy. Weights of 16 and 64 bits are converted to 32-bit floats.
    pub(crate) fn dtype(&mut self) -> Result<(), String> {
        let Some(value) = self.get("dtype") else { return Ok(()) };
        let name = value["config"]["name"].as_str().or_else(|| value.as_str());
        match name {
            Some("float32") => Ok(()),
            Some(name @ ("mixed_float16" | "mixed_bfloat16" | "float16" | "bfloat16" | "float64")) => {
                self.notes.push(format!("dtype {name}: computed in float32"));
                Ok(())
            }
            _ => Err(format!("dtype {} is not supported, only float16, bfloat16, float32 and float64", short(value))),
        }
    }

    /// Rejects options that have not been read, unless they are null or false.
    pub(crate) fn nothing_left(&self) -> Result<(), String> {
        let neutral = |value: &Value| value.is_null() || *value == false;
        match self.options.iter().find(|(name, value)| !self.seen.contains(&name.as_str()) && !neutral(value)) {
            Some((name, value)) => Err(format!("option {name} ({}) is not supported", short(value))),
            None => Ok(()),
        }
    }

    /// Reads a Boolean.
    pub(crate) fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, String> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| format!("{name} is {}, not true or false", short(value))),
        }
    }

    /// Reads a number.
    pub(crate) fn number(&mut self, name: &'static str, default: f32) -> Result<f32, String> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => {
                value.as_f64().map(|n| n as f32).ok_or_else(|| format!("{name} is {}, not a number", short(value)))
            }
        }
    }

    /// Reads a number, or a nested list of numbers: a mean per channel is stored as `[[[1.0, 2.0, 3.0]]]`.
    pub(crate) fn values(&mut self, name: &'static str, default: f32) -> Result<Vec<f32>, String> {
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

    /// Reads `N` sizes; a single number stands for all of them.
    pub(crate) fn sizes<const N: usize>(&mut self, name: &'static str) -> Result<[usize; N], String> {
        let value = self.required(name)?;
        sizes(value).ok_or_else(|| format!("{name} is {}, expected {N} whole numbers", short(value)))
    }

    /// As [`sizes`](Self::sizes), with a default.
    pub(crate) fn sizes_or<const N: usize>(
        &mut self,
        name: &'static str,
        default: [usize; N],
    ) -> Result<[usize; N], String> {
        if self.get(name).is_none() { Ok(default) } else { self.sizes(name) }
    }

    /// Reads an option that the layer requires.
    pub(crate) fn required(&mut self, name: &'static str) -> Result<&'a Value, String> {
        self.get(name).ok_or_else(|| format!("has no {name}"))
    }
}

/// `N` integers; a single one stands for all.
pub(crate) fn sizes<const N: usize>(value: &Value) -> Option<[usize; N]> {
    let number = |value: &Value| usize::try_from(value.as_u64()?).ok();
    match value.as_array() {
        Some(values) => values.iter().map(number).collect::<Option<Vec<_>>>()?.try_into().ok(),
        None => number(value).map(|size| [size; N]),
    }
}

/// A shape in Keras's format, with an open batch axis.
pub(crate) fn with_batch(shape: &Shape) -> Value {
    std::iter::once(Value::Null).chain(shape.sizes().iter().map(|&size| size.into())).collect()
}

/// A value for a message: its class name, or the shortened value.
pub(crate) fn short(value: &Value) -> String {
    if let Some(class) = value["class_name"].as_str() {
        return class.chars().take(60).collect();
    }
    let text = value.as_str().map_or_else(|| value.to_string(), |text| format!("{text:?}"));
    if text.chars().count() <= 60 { text } else { format!("{}...", text.chars().take(57).collect::<String>()) }
}
