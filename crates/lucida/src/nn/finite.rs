//! Checks for weights that are not finite.

use lucida_kernels::Cpu;
use lucida_kernels::ops::max_abs;

use super::{Network, Node};
use crate::{Error, Result};

impl Network {
    /// Returns the names of the first weight that contains NaN or infinity: of its layer, and of the weight itself.
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

    /// Rejects a network with weights that are not finite, because its results would be meaningless.
    ///
    /// # Errors
    /// [`Error::Layer`] with the first such layer.
    pub(crate) fn check_finite(&self) -> Result<()> {
        match self.first_not_finite() {
            None => Ok(()),
            Some((layer, weight)) => Err(Error::layer(layer, format!("its weights hold NaN or infinity ({weight})"))),
        }
    }

    /// Returns the name of the first layer that uses the weight with this index.
    pub(crate) fn owner_of(&self, weight: usize) -> &str {
        self.nodes().iter().find(|node| node.weights().contains(&weight)).map_or(self.name(), Node::name)
    }
}
