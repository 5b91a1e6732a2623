//! Weights that are not finite.

use lucida_kernels::Cpu;
use lucida_kernels::ops::max_abs;

use super::{Network, Node};
use crate::{Error, Result};

impl Network {
    /// The first layer with a weight that holds NaN or infinity, and that weight.
    ///
    /// ```
    /// use lucida::prelude::*;
    ///
    /// let mut network = Sequential::new("small", [8]).add(Dense::new(4)).add(Dense::new(2)).build(42)?;
    /// assert_eq!(network.first_not_finite(), None);
    /// network.weights_mut()[3].values_mut()[0] = f32::NAN;
    /// assert_eq!(network.first_not_finite(), Some(("dense_1", "dense_1/bias")));
    /// # Ok::<(), lucida::Error>(())
    /// ```
    pub fn first_not_finite(&self) -> Option<(&str, &str)> {
        let cpu = Cpu::detect();
        let is_bad = |weight: &usize| !max_abs(cpu, self.weights()[*weight].values()).is_finite();
        let weight = (0..self.weights().len()).find(is_bad)?;
        Some((self.owner_of(weight), self.weights()[weight].name()))
    }

    /// Refuses a network with weights that are not finite, for what would be meaningless then.
    ///
    /// # Errors
    /// [`Error::Layer`] names the first layer.
    pub(crate) fn check_finite(&self) -> Result<()> {
        match self.first_not_finite() {
            None => Ok(()),
            Some((layer, weight)) => Err(Error::layer(layer, format!("its weights hold NaN or infinity ({weight})"))),
        }
    }

    /// The name of the first layer that has a weight.
    pub(crate) fn owner_of(&self, weight: usize) -> &str {
        self.nodes().iter().find(|node| node.weights().contains(&weight)).map_or(self.name(), Node::name)
    }
}
