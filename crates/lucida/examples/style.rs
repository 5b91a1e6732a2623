//! Stylizes a photo with the built-in style image, like `lucida style photo.jpg brushwork -o styled.png`.
//!
//! `cargo run --release -p lucida --example style -- photo.jpg styled.png [SIZE]`

use std::ops::ControlFlow;

use lucida::core::{Detail, Step};
use lucida::data::Image;
use lucida::style::{Pooling, Preset, StyleNetwork, StyleRequest, brushwork, choose_network, transfer};
use lucida::{Cpu, Error, Result};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [photo, styled, size @ ..] = arguments.as_slice() else {
        return Err(Error::argument("give a photo and the file to write"));
    };
    let network = StyleNetwork::new(choose_network(None, None)?, Pooling::Max)?;
    let mut config = Preset::Best.config(&network, Cpu::detect())?;
    if let Some(size) = size.first() {
        config.size = size.parse().map_err(|_| Error::argument(format!("{size} is not a number of pixels")))?;
    }
    let request = StyleRequest::new(Image::open(photo)?, vec![(brushwork()?, 1.0)]);
    let result = transfer(&network, &request, &config, &mut |step: &Step<'_>| {
        if let (Detail::Style(style), Some(done)) = (step.detail, step.fraction()) {
            eprintln!("{:.0} %: {:.4}", 100.0 * done, style.loss);
        }
        ControlFlow::Continue(())
    })?;
    result.canvas.to_image()?.save_png(styled)
}
