//! Winograd's minimal filtering, F(4x4, 3x3) and F(6x4, 3x3): a 3x3 correlation with a quarter, or two ninths, of the
//! multiplications.
//!
//! After Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), and Winograd, "Arithmetic Complexity
//! of Computations" (1980). A tile of 4x4 outputs is computed from a patch `d` of 6x6 inputs. A transformed patch and a
//! transformed kernel `g` are multiplied elementwise (position by position), and the products are summed over the channels
//! before a single inverse transform:
//!
//! ```text
//! forward     y  = A^T [ sum over channels of (G g G^T) . (B^T d B) ] A            36 products for 144
//! to input    the same with the kernel turned by 180 degrees, channels and filters exchanged
//! to kernel   dg = G^T [ sum over tiles of (B^T d B) . (A dy A^T) ] G
//! ```
//!
//! A tile of 6x4 outputs is computed from a patch of 8x6 and takes 48 products for 24 outputs, a ninth fewer, unless the
//! image's height wastes part of the tiles; for some heights, rows of both are mixed ([`grid`]). Over all tiles and
//! channels the 36 positions are 36 matrix products:
//!
//! ```text
//!   image          V: 36 matrices               U: 36 matrices        M: 36 matrices          result
//!   +--------+       +-------------+              +-----------+         +-----------+          +--------+
//!   | 6x6    |  B^T  | tile x chan |+      times  | chan x    |+        | tile x    |+   A^T   | 4x4    |
//!   | patches| ----> |             ||             |   filter  ||   =    |   filter  ||  ---->  | tiles  |
//!   +--------+       +-------------+|             +-----------+|        +-----------+|         +--------+
//!                     +-------------+              +-----------+         +-----------+
//!                     in L2, a block of tiles      packed once           in L2              bias and ReLU on the way
//! ```
//!
//! - [`grid`]: the tiles over an image, and their heights;
//! - [`transforms`]: the one-dimensional transforms and their points;
//! - [`tiles`]: from images to `V`, with padding; [`pooled`]: from the gradient of pooled maxima; [`outputs`]: from `M` to
//!   the result;
//! - [`kernels`]: from the kernel to `U`, and from the gradient of `U` back;
//! - [`blocks`]: how many tiles are processed at a time, and how threads share them;
//! - [`prefetch`]: what is prefetched during the products of a block;
//! - [`pass`] and [`kernel_gradient`]: the passes; [`product_timer`]: how fast their products are.
//!
//! # Speed
//!
//! Compared with the direct algorithm in alternating runs: medians of `super::measure::speed`, AVX-512, 2 cores of a Xeon
//! (Sapphire Rapids) with a peak of 380 GFLOP/s. GFLOP/s count the operations of the direct algorithm.
//!
//! ```text
//!                                       forward             to input            to kernel
//!   layer              size   batch    ms   times GFLOP/s   ms   times GFLOP/s   ms   times GFLOP/s
//!   MNIST  24 -> 48     14     256    2.2   1.6    476     2.5   1.9    418     2.1   1.9    494
//!          48 -> 64      7     256    1.2   2.0    563     1.3   2.0    542     1.4   1.8    486
//!   cats   32 -> 64     74      32    9.6   2.2    636    10.4   2.3    587     9.7   2.8    632
//!          64 -> 128    36      32    8.3   2.4    654     7.7   2.7    710     9.0   2.5    604
//!   VGG    64 -> 64    512       1   26.1   2.8    741    24.6   2.8    785    26.4   3.0    733
//!         128 -> 128   256       1   24.9   2.8    777    23.4   2.9    824    28.1   2.9    688
//!         256 -> 256   128       1   26.7   2.8    724    22.9   2.9    843    26.4   3.6    732
//!         512 -> 512    64       1   22.1   3.1    873    24.9   3.0    778    28.9   3.9    668
//!         512 -> 512    32       1    7.4   3.1    656     7.2   2.8    673    11.8   3.4    409
//! ```
//!
//! With AVX2, Winograd is 1.9 to 2.4 times as fast as the direct algorithm on the first two, 2.5 to 3.4 times on the others
//! (512 to 64 pixels: 47, 37, 42 and 40 ms forward).
//!
//! These figures are for 4x4 tiles everywhere. On 2 cores of an EPYC (Zen 4, 235 GFLOP/s) a full style-transfer step at
//! 512x512 takes 699 ms with them and 632 with 6x4. F(6x6) would save another ninth of the products, but its errors are
//! larger (3.8e-6 and 1.0e-5 in the units of the table below, four times those of 4x4, and single values up to 4e-5 of the
//! largest), and it gains 5 % at most where the kernel is small enough for it.
//!
//! The products run at 75 to 93 % of the peak; with 64 channels they take half of the time and the memory-bound transforms
//! the other half.
//!
//! # Accuracy
//!
//! Root mean square errors against `f64`, relative to the root mean square of the values; inputs and kernels uniform in
//! -1..1, images of 16x16 for 64 channels and 8x8 for 512 (`tests::accuracy`):
//!
//! ```text
//!                                    64 channels                   512 channels
//!                           forward  to input to kernel   forward  to input to kernel
//!   direct                  4.2e-7   4.2e-7   2.0e-7      1.1e-6   1.1e-6   1.3e-7
//!   points 0, +-1, +-2      1.8e-6   1.7e-6   1.1e-6      4.8e-6   4.8e-6   9.1e-7
//!   0, +-1/2, +-1           1.7e-6   1.7e-6   1.1e-6      4.7e-6   4.7e-6   9.2e-7
//!   0, +-1/2, +-2           1.1e-6   1.1e-6   7.1e-7      3.0e-6   3.0e-6   6.0e-7
//!   0, +-1/2, +-3/2         9.7e-7   9.5e-7   6.1e-7      2.6e-6   2.7e-6   5.1e-7
//!   0, +-5/8, +-5/4         8.9e-7   9.0e-7   5.8e-7      2.5e-6   2.4e-6   4.8e-7
//!   0, +-3/4, +-3/2 (here)  8.3e-7   8.1e-7   5.3e-7      2.3e-6   2.3e-6   4.5e-7
//!   tiles of 6x4 (here)     1.8e-6   1.8e-6   8.8e-7      4.7e-6   4.7e-6   8.1e-7
//! ```

mod blocks;
mod grid;
mod kernel_gradient;
mod kernels;
mod outputs;
mod pass;
mod pooled;
mod prefetch;
mod product_timer;
#[cfg(test)]
mod tests;
mod tiles;
mod transforms;

pub(crate) use grid::TileMix;
pub(crate) use kernel_gradient::WinogradKernelGradient;
pub(crate) use pass::WinogradPass;
pub(crate) use product_timer::ProductTimer;
pub(crate) use transforms::TAPS;
