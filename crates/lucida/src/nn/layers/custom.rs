//! User-defined layers.
//!
//! A type that implements [`CustomLayer`] can be used in a network like a built-in layer, including training and
//! explanations. A model with such a layer is saved with the layer's class name, and can be loaded by programs that have
//! registered the class with [`Custom::register`].
//!
//! ```
//! use lucida::nn::layers::{Custom, CustomLayer, Extent, Input, LayerSpec};
//! use lucida::nn::{Backward, BackwardNeeds, Forward, Network, Op, OpConfig, Plan, Shape, check_gradients};
//!
//! /// `y = x^2`
//! #[derive(Debug)]
//! struct Square;
//!
//! impl LayerSpec for Square {
//!     fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
//!         Ok(inputs[0].clone())
//!     }
//!     fn extent(&self, _inputs: &[Shape]) -> Extent {
//!         Extent::Same
//!     }
//!     fn prepare(&self, _config: &OpConfig) -> Box<dyn Op> {
//!         Box::new(SquareOp)
//!     }
//! }
//!
//! impl CustomLayer for Square {
//!     fn class_name(&self) -> &'static str {
//!         "Square"
//!     }
//! }
//!
//! struct SquareOp;
//!
//! impl Op for SquareOp {
//!     fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
//!         output.iter_mut().zip(pass.inputs.get(0)).for_each(|(y, x)| *y = x * x);
//!     }
//!     fn backward_needs(&self) -> BackwardNeeds {
//!         BackwardNeeds { inputs: true, output: false }
//!     }
//!     fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
//!         for ((dx, x), dy) in grad_input.iter_mut().zip(pass.inputs.get(0)).zip(pass.grad_output) {
//!             *dx = if accumulate { *dx } else { 0.0 } + 2.0 * x * dy;
//!         }
//!     }
//! }
//!
//! check_gradients(Custom::new(Square), &[[4].into()])?;
//! let network = Network::sequential("squares", [3], [Custom::new(Square).into()], 1)?;
//! let mut plan = Plan::builder(&network).build()?;
//! plan.input_mut().copy_from_slice(&[1.0, -2.0, 3.0]);
//! plan.forward(&network)?;
//! assert_eq!(plan.output(0), [1.0, 4.0, 9.0]);
//! # Ok::<(), lucida::Error>(())
//! ```

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, RwLock};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::spec::LayerSpec;

/// A layer that is not built in.
pub trait CustomLayer: LayerSpec + Debug + Send + Sync {
    /// Its class name, such as `Swish`: stored with a model, and the key of [`Custom::register`].
    fn class_name(&self) -> &'static str;

    /// The default name of such a layer in a network; further ones are numbered.
    fn default_name(&self) -> &'static str {
        "custom"
    }

    /// Its configuration, stored with a model: an object from which the registered function recreates the layer.
    fn config(&self) -> Value {
        Value::Object(serde_json::Map::new())
    }
}

/// Creates a layer from its stored configuration; the error describes what is wrong with it.
pub type FromConfig = fn(&Value) -> Result<Custom, String>;

static REGISTERED: RwLock<BTreeMap<&'static str, FromConfig>> = RwLock::new(BTreeMap::new());

/// A user-defined layer in a network.
#[derive(Debug, Clone)]
pub struct Custom(Arc<dyn CustomLayer>);

impl Custom {
    /// Creates a layer for a network.
    pub fn new(layer: impl CustomLayer + 'static) -> Self {
        Self(Arc::new(layer))
    }

    /// Makes stored models with layers of this class name loadable in this program. Registering a name again replaces it.
    pub fn register(class_name: &'static str, from_config: FromConfig) {
        REGISTERED.write().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(class_name, from_config);
    }

    /// The class name.
    pub fn class_name(&self) -> &'static str {
        self.0.class_name()
    }

    pub(super) fn default_name(&self) -> &'static str {
        self.0.default_name()
    }

    /// The message that a format does not support it.
    pub(super) fn unknown_to(&self, format: &str) -> String {
        format!("{} is a custom layer, which {format} does not have", self.class_name())
    }

    pub(super) fn spec(&self) -> &dyn LayerSpec {
        &*self.0
    }
}

impl PartialEq for Custom {
    /// Layers are equal if they are stored identically.
    fn eq(&self, other: &Self) -> bool {
        self.class_name() == other.class_name() && self.0.config() == other.0.config()
    }
}

/// The stored form of a layer.
#[derive(Serialize, Deserialize)]
struct Stored {
    class_name: String,
    config: Value,
}

impl Serialize for Custom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Stored { class_name: self.class_name().to_owned(), config: self.0.config() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Custom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Stored { class_name, config } = Stored::deserialize(deserializer)?;
        let registered = REGISTERED.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let from_config = registered.get(class_name.as_str()).copied();
        drop(registered);
        let from_config = from_config.ok_or_else(|| {
            D::Error::custom(format!(
                "custom layer {class_name:?} is not registered in this program (Custom::register)"
            ))
        })?;
        from_config(&config).map_err(|problem| D::Error::custom(format!("custom layer {class_name:?}: {problem}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::nn::layers::Extent;
    use crate::nn::op::{Backward, BackwardNeeds, Forward, Op, OpConfig};
    use crate::nn::{Initializer, Network, Plan, Shape, WeightSpec, check_gradients};

    /// `y = factor w x`, with a learned `w`; its gradients are `slip` times the correct ones.
    #[derive(Debug)]
    struct Scale {
        factor: f32,
        slip: f32,
    }

    impl Scale {
        fn from_config(config: &Value) -> Result<Custom, String> {
            let factor = config["factor"].as_f64().ok_or("factor is not a number")? as f32;
            Ok(Custom::new(Self { factor, slip: 1.0 }))
        }
    }

    impl LayerSpec for Scale {
        fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
            Ok(inputs[0].clone())
        }

        fn weights(&self, _inputs: &[Shape]) -> Vec<WeightSpec> {
            vec![WeightSpec { name: "w", shape: vec![1], initializer: Initializer::Ones, trainable: true }]
        }

        fn extent(&self, _inputs: &[Shape]) -> Extent {
            Extent::Same
        }

        fn prepare(&self, _config: &OpConfig) -> Box<dyn Op> {
            Box::new(ScaleOp { factor: self.factor, slip: self.slip })
        }
    }

    impl CustomLayer for Scale {
        fn class_name(&self) -> &'static str {
            "Scale"
        }

        fn default_name(&self) -> &'static str {
            "scale"
        }

        fn config(&self) -> Value {
            json!({ "factor": self.factor })
        }
    }

    struct ScaleOp {
        factor: f32,
        slip: f32,
    }

    impl Op for ScaleOp {
        fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
            let factor = self.factor * pass.weights[0].values()[0];
            output.iter_mut().zip(pass.inputs.get(0)).for_each(|(y, x)| *y = factor * x);
        }

        fn backward_needs(&self) -> BackwardNeeds {
            BackwardNeeds { inputs: true, output: false }
        }

        fn backward_input(&mut self, pass: &Backward, _index: usize, grad_input: &mut [f32], accumulate: bool) {
            let factor = self.slip * self.factor * pass.weights[0].values()[0];
            for (dx, dy) in grad_input.iter_mut().zip(pass.grad_output) {
                *dx = if accumulate { *dx + factor * dy } else { factor * dy };
            }
        }

        fn backward_weights(&mut self, pass: &Backward, gradients: &mut [Vec<f32>]) {
            let products = pass.inputs.get(0).iter().zip(pass.grad_output).map(|(x, dy)| x * dy);
            gradients[0][0] = self.slip * self.factor * products.sum::<f32>();
        }
    }

    #[test]
    fn wrong_gradients_are_found() {
        check_gradients(Custom::new(Scale { factor: 3.0, slip: 1.0 }), &[[4].into()]).unwrap();
        let problem = check_gradients(Custom::new(Scale { factor: 3.0, slip: 1.1 }), &[[4].into()]).unwrap_err();
        assert!(problem.to_string().contains("gradient of input 0"), "{problem}");
        let problem = check_gradients(Custom::new(Scale { factor: 3.0, slip: f32::NAN }), &[[4].into()]).unwrap_err();
        assert!(problem.to_string().contains("NaN"), "{problem}");
    }

    /// The only test that registers the name: tests run in parallel.
    #[test]
    fn a_stored_network_has_the_layer_again_where_it_is_registered() {
        let layer = Custom::new(Scale { factor: 2.5, slip: 1.0 });
        let network = Network::sequential("scaled", [2], [layer.into()], 1).unwrap();
        assert_eq!(network.nodes()[1].name(), "scale");
        assert_eq!(network.nodes()[1].layer().class_name(), "Scale");
        let stored = network.architecture();
        let problem = Network::from_architecture(&stored).unwrap_err().to_string();
        assert!(problem.contains("Scale") && problem.contains("not registered"), "{problem}");

        Custom::register("Scale", Scale::from_config);
        let mut again = Network::from_architecture(&stored).unwrap();
        assert_eq!(again.nodes()[1].layer(), network.nodes()[1].layer());
        again.weights_mut()[0].values_mut()[0] = 2.0;
        let mut plan = Plan::builder(&again).build().unwrap();
        plan.input_mut().copy_from_slice(&[1.0, -3.0]);
        plan.forward(&again).unwrap();
        assert_eq!(plan.output(0), [5.0, -15.0]);

        let mut broken = stored;
        broken["layers"][1]["config"]["config"] = json!({});
        let problem = Network::from_architecture(&broken).unwrap_err().to_string();
        assert!(problem.contains("factor is not a number"), "{problem}");
    }
}
