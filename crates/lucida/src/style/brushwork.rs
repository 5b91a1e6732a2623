//! The built-in style image.

use crate::Result;
use crate::data::{Image, Limits, asset_bytes};

/// Its name.
pub const BRUSHWORK: &str = "brushwork";

/// The built-in style image: swirling brush strokes in blue, orange and cream.
///
/// # Errors
/// None in practice.
pub fn brushwork() -> Result<Image> {
    Image::decode(&asset_bytes(&lucida_assets::BRUSHWORK)?, "brushwork.png", &Limits::default())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_there() {
        let image = super::brushwork().unwrap();
        assert_eq!((image.width(), image.height(), image.channels()), (400, 400, 3));
    }
}
