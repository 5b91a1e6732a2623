//! Lucida trains convolutional networks, explains what they have learned, and transfers style, fast on any CPU.
//!
//! Most programs need only the [`prelude`]. Five examples:
//!
//! # Train a network
//!
//! ```
//! use lucida::prelude::*;
//!
//! # fn main() -> lucida::Result<()> {
//! let digits = Mnist::builtin()?.train;
//! let train = Subset::new(&digits, (0..1000).collect())?;
//! let validation = Subset::new(&digits, (1000..1200).collect())?;
//! let network = Sequential::new("digits", [28, 28, 1])
//!     .add(Conv2D::new(16, [3, 3]).activation(ActivationKind::Relu))
//!     .add(MaxPooling2D::default())
//!     .add(Flatten::new())
//!     .add(Dense::new(10).activation(ActivationKind::Softmax))
//!     .build(42)?;
//! let mut model = Model::new(network).with_preprocessing(Preprocessing::mnist());
//! let config = TrainConfig { epochs: 2, ..TrainConfig::default() };
//! Trainer::new(config).callback(EarlyStopping::new(3)).fit(&mut model, &train, Some(&validation))?;
//! println!("accuracy {:.3}", evaluate(&model, &validation, Cpu::detect())?.accuracy);
//! # Ok(())
//! # }
//! ```
//!
//! # Explain what a Keras model sees in a photo
//!
//! ```no_run
//! use lucida::prelude::*;
//!
//! # fn main() -> lucida::Result<()> {
//! let model = Model::load("resnet50.keras")?;
//! let preprocessing = model.preprocessing()?;
//! let photo = Image::open("photo.jpg")?;
//! let mut input = vec![0.0; preprocessing.output_shape().iter().product()];
//! preprocessing.apply(&photo, &mut input)?;
//! let mut explainer = Explainer::new(&model, &ExplainConfig::default())?;
//! let (class, probability) = explainer.predict(&input)?;
//! println!("{}: {probability:.3}", model.class_name(class));
//! let map = explainer.explain(&input, class, Method::GradCam)?;
//! overlay(&preprocessing.to_image(&input)?, &map)?.save_png("grad-cam.png")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Transfer a style
//!
//! ```no_run
//! use lucida::prelude::*;
//! use lucida::style::{brushwork, choose_network};
//!
//! # fn main() -> lucida::Result<()> {
//! let network = StyleNetwork::new(choose_network(None, None)?, Pooling::Max)?;
//! let config = StyleConfig { size: 512, ..Preset::Best.config(&network, Cpu::detect())? };
//! let request = StyleRequest::new(Image::open("photo.jpg")?, vec![(brushwork()?, 1.0)]);
//! let result = transfer(&network, &request, &config, &mut ())?;
//! result.canvas.to_image()?.save_png("stylized.png")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Synthesize the input that maximizes a filter
//!
//! ```no_run
//! use lucida::explain::maximize;
//! use lucida::prelude::*;
//!
//! # fn main() -> lucida::Result<()> {
//! let model = Model::load("vgg16-builtin")?;
//! let method = maximize::Method::Fourier(Fourier::default());
//! let (target, filters) = (Target::layer("block3_conv1"), [Objective::Channel(0), Objective::Channel(1)]);
//! let found = maximize::maximize(
//!     &model.network, model.preprocessing.as_ref(), &target, &filters, &method, Cpu::detect(), &mut (),
//! )?;
//! found[0].image.save_png("filter.png")?;
//! # Ok(())
//! # }
//! ```
//!
//! # Write a layer of your own
//!
//! ```
//! use lucida::nn::layers::{Custom, CustomLayer, Extent, LayerSpec};
//! use lucida::nn::{Backward, BackwardNeeds, Forward, Op, OpConfig, Shape, check_gradients};
//!
//! /// `y = x^2`
//! #[derive(Debug)]
//! struct Square;
//!
//! impl LayerSpec for Square {
//!     fn output_shape(&self, inputs: &[Shape]) -> Result<Shape, String> { Ok(inputs[0].clone()) }
//!     fn extent(&self, _: &[Shape]) -> Extent { Extent::Same }
//!     fn prepare(&self, _: &OpConfig) -> Box<dyn Op> { Box::new(Self) }
//! }
//! impl CustomLayer for Square {
//!     fn class_name(&self) -> &'static str { "Square" }
//! }
//! impl Op for Square {
//!     fn forward(&mut self, pass: &Forward, output: &mut [f32]) {
//!         output.iter_mut().zip(pass.inputs.get(0)).for_each(|(y, x)| *y = x * x);
//!     }
//!     fn backward_needs(&self) -> BackwardNeeds { BackwardNeeds { inputs: true, output: false } }
//!     fn backward_input(&mut self, pass: &Backward, _: usize, grad_input: &mut [f32], accumulate: bool) {
//!         for ((dx, x), dy) in grad_input.iter_mut().zip(pass.inputs.get(0)).zip(pass.grad_output) {
//!             *dx = 2.0 * x * dy + if accumulate { *dx } else { 0.0 };
//!         }
//!     }
//! }
//!
//! # fn main() -> lucida::Result<()> {
//! check_gradients(Custom::new(Square), &[[4, 5, 3].into()])?;
//! # Ok(())
//! # }
//! ```
//!
//! The example `custom_layer` also has weights: it trains them, and explains the network with Grad-CAM.
//!
//! # Modules
//!
//! - [`core`]: progress and cancellation; [`error`]: error kinds.
//! - [`nn`]: layers, networks, plans, optimizers, [known networks](nn::applications).
//! - [`data`]: images, preprocessing, augmentation, data sets.
//! - [`weights`]: model files of Keras, PyTorch, ONNX, LiteRT and Lucida, and downloads; [`model`]: load, save, predict.
//! - [`train`]: training, evaluation, transfer learning; [`batch_jobs`]: many images, many machines.
//! - [`explain`]: activations, attribution, maximization, deconvolution, receptive fields, embeddings.
//! - [`style`]: style transfer of images and video.
//! - [`plot`], [`report`]: charts and HTML reports.
//! - [`clock`]: the clock of all that is timed.
//!
//! # Features
//!
//! - `hub` (default): downloads, of published weights and of lists of images. Without it, what would download is an
//!   [`Error::Network`] that says what to download by hand, and where to save it.
//! - `threads` (default): the thread pool, and threads that load batches ahead. Without it, everything runs on the calling
//!   thread, with the results of a [`Cpu`] with the same number of threads.
//! - `clap`: enums as values of command-line options.
//!
//! # WebAssembly
//!
//! Without its default features the library builds for `wasm32-unknown-unknown`:
//!
//! ```text
//! RUSTFLAGS="-C target-feature=+simd128" cargo build --release --target wasm32-unknown-unknown -p lucida --no-default-features
//! ```
//!
//! With `+relaxed-simd` multiply-adds are fused; not every engine loads such a module, so a page is served both. There are no
//! files: reading or writing one is an [`Error::Io`]. Models come from bytes
//! ([`Model::from_bytes`], [`weights::open_files`]), images from [`Image::decode`](data::Image::decode); training,
//! explanations and prediction need no file. There is no clock either, so times are zero until [`clock::set`] is called. A
//! panic ends the module, within third-party decoders too, where it is an error elsewhere.

pub mod batch_jobs;
pub mod core;
pub mod data;
pub mod error;
pub mod explain;
pub mod files;
mod guard;
pub mod model;
pub mod nn;
pub mod plot;
pub mod prelude;
pub mod report;
mod similar;
pub mod style;
pub mod train;
pub mod weights;

pub use error::{Error, Fitting, Result, TableFault, Unfit};
pub use lucida_kernels::{Cpu, Isa, clock};
pub use model::Model;
pub use similar::{nearest_name, nearest_names};
