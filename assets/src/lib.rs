//! Data that [Lucida](https://docs.rs/lucida) carries with it; `README.md` has sources and licenses.

/// The first 10,000 training images of MNIST: IDX, gzip.
pub const MNIST_IMAGES: &[u8] = include_bytes!("../mnist-10k-images-idx3-ubyte.gz");
/// Their labels: IDX, gzip.
pub const MNIST_LABELS: &[u8] = include_bytes!("../mnist-10k-labels-idx1-ubyte.gz");
/// The first three blocks of VGG16 with ImageNet weights in 16-bit floats: safetensors.
pub const VGG16_BLOCKS: &[u8] = include_bytes!("../vgg16-block1-3-f16.safetensors");
/// The font DejaVu Sans: TrueType, gzip.
pub const FONT_REGULAR: &[u8] = include_bytes!("../DejaVuSans.ttf.gz");
/// DejaVu Sans Bold: TrueType, gzip.
pub const FONT_BOLD: &[u8] = include_bytes!("../DejaVuSans-Bold.ttf.gz");
/// A photo of a cat, 451x300: PNG.
pub const CAT: &[u8] = include_bytes!("../chelsea.png");
/// A style image of swirling brush strokes, 400x400: PNG.
pub const BRUSHWORK: &[u8] = include_bytes!("../brushwork.png");
/// A network that stylizes images in the style of these strokes, in 16-bit floats: safetensors.
pub const BRUSHWORK_NETWORK: &[u8] = include_bytes!("../brushwork.lucida");
