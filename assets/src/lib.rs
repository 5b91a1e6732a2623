//! Data that [Lucida](https://docs.rs/lucida) carries with it; `README.md` has sources and licenses.

use std::borrow::Cow;
use std::io;

/// A file of built-in data: embedded in the program, or, without the feature `embedded`, read from the folder `/assets` on
/// each use. A program in a web page fetches it there once it is needed.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Its file name.
    pub name: &'static str,
    /// Its content, if it is embedded.
    pub embedded: Option<&'static [u8]>,
}

impl Asset {
    /// Returns the content.
    ///
    /// # Errors
    /// As [`std::fs::read`] when it is not embedded.
    pub fn bytes(&self) -> io::Result<Cow<'static, [u8]>> {
        match self.embedded {
            Some(bytes) => Ok(Cow::Borrowed(bytes)),
            None => std::fs::read(format!("/assets/{}", self.name)).map(Cow::Owned),
        }
    }
}

/// Declares an [`Asset`] of the file with this name in the folder of the calling crate, which needs a feature `embedded`.
#[macro_export]
macro_rules! asset {
    ($name:literal) => {{
        #[cfg(feature = "embedded")]
        let embedded = Some(include_bytes!(concat!("../", $name)).as_slice());
        #[cfg(not(feature = "embedded"))]
        let embedded = None;
        $crate::Asset { name: $name, embedded }
    }};
}

/// The first 10,000 training images of MNIST: IDX, gzip.
pub const MNIST_IMAGES: Asset = asset!("mnist-10k-images-idx3-ubyte.gz");
/// Their labels: IDX, gzip.
pub const MNIST_LABELS: Asset = asset!("mnist-10k-labels-idx1-ubyte.gz");
/// A classifier of such digits, with its preprocessing and the names of its classes: safetensors.
pub const DIGITS: Asset = asset!("digits.safetensors");
/// The first three blocks of VGG16 with ImageNet weights in 16-bit floats: safetensors.
pub const VGG16_BLOCKS: Asset = asset!("vgg16-block1-3-f16.safetensors");
/// A photo of a cat, 451x300: PNG.
pub const CAT: Asset = asset!("chelsea.png");
/// A style image of swirling brush strokes, 400x400: PNG.
pub const BRUSHWORK: Asset = asset!("brushwork.png");
/// A network that stylizes images in the style of these strokes, in 16-bit floats: safetensors.
pub const BRUSHWORK_NETWORK: Asset = asset!("brushwork.lucida");
/// The font DejaVu Sans: TrueType, gzip. It is always embedded, so that drawing text cannot fail.
pub const FONT_REGULAR: &[u8] = include_bytes!("../DejaVuSans.ttf.gz");
/// DejaVu Sans Bold, likewise.
pub const FONT_BOLD: &[u8] = include_bytes!("../DejaVuSans-Bold.ttf.gz");
