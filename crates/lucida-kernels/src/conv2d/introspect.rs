//! Information on how a convolution is computed.

use super::Conv2d;
use super::pass::Pass;
use super::passes::{Correlation, KernelPass};
use super::winograd::{ProductTimer, TileMix};

impl Conv2d {
    /// Names of the algorithms: forward, input gradient, kernel gradient; `None` for a pass that was not prepared.
    pub fn algorithms(&self) -> [Option<&'static str>; 3] {
        let winograd = TileMix::choose(&self.shape).name();
        let name = |few: bool| match self.shape.kernel {
            _ if few => "direct, few channels",
            [1, 1] => "product",
            _ => "direct",
        };
        let correlation = |pass: &Correlation| match pass {
            Correlation::Winograd(_) => winograd,
            Correlation::Col2Im(_) => "product, col2im",
            Correlation::Depthwise(_) => "depthwise",
            Correlation::Direct(passes) => name(passes.iter().all(Pass::is_few)),
        };
        let kernel = |pass: &KernelPass| match pass {
            KernelPass::Winograd(_) => winograd,
            KernelPass::Direct(_) => name(false),
            KernelPass::Depthwise(_) => "depthwise",
        };
        [
            Some(correlation(&self.forward)),
            self.backward.as_ref().map(correlation),
            self.kernel_gradient.as_ref().map(kernel),
        ]
    }

    /// Multiplications and additions of a pass for one image, by the definition of convolution.
    pub fn operations(&self) -> f64 {
        let [height, width] = self.shape.output;
        2.0 * (height * width) as f64 * self.shape.kernel_len() as f64
    }

    /// Enables or disables timing of the matrix products between the Winograd transforms, and resets the times.
    pub fn set_timed(&mut self, timed: bool) {
        for pass in self.backward.iter_mut().chain([&mut self.forward]) {
            if let Correlation::Winograd(passes) = pass {
                passes.iter_mut().for_each(|pass| pass.watch.set(timed));
            }
        }
        if let Some(KernelPass::Winograd(passes)) = &mut self.kernel_gradient {
            passes.iter_mut().for_each(|pass| pass.watch.set(timed));
        }
    }

    /// Speed of the matrix products between the Winograd transforms since [`set_timed`](Self::set_timed), in
    /// multiplications and additions per second of all threads together; counts the operations performed, not those of the
    /// definition. Forward, input gradient, kernel gradient; `None` for other algorithms, or if nothing was timed.
    pub fn product_rates(&self) -> [Option<f64>; 3] {
        let correlation = |pass: &Correlation| match pass {
            Correlation::Winograd(passes) => self.rate(passes.iter().map(|pass| &pass.watch)),
            Correlation::Direct(_) | Correlation::Col2Im(_) | Correlation::Depthwise(_) => None,
        };
        let kernel = |pass: &KernelPass| match pass {
            KernelPass::Winograd(passes) => self.rate(passes.iter().map(|pass| &pass.watch)),
            KernelPass::Direct(_) | KernelPass::Depthwise(_) => None,
        };
        [
            correlation(&self.forward),
            self.backward.as_ref().and_then(correlation),
            self.kernel_gradient.as_ref().and_then(kernel),
        ]
    }

    fn rate<'a>(&self, watches: impl Iterator<Item = &'a ProductTimer>) -> Option<f64> {
        let totals = watches.map(ProductTimer::total);
        let [operations, seconds] = totals.fold([0.0; 2], |[a, b], [more, longer]| [a + more, b + longer]);
        (seconds > 0.0).then(|| self.cpu.threads() as f64 * operations / seconds)
    }
}
