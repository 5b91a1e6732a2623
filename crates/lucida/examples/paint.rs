//! Paints a photo in the built-in style: what `lucida style photo.jpg brushwork -o painted.png` does.
//!
//! `cargo run --release -p lucida --example paint -- photo.jpg painted.png [SIZE]`

use std::ops::ControlFlow;

use lucida::core::{Detail, Step};
use lucida::data::Picture;
use lucida::style::{Job, Pooling, Preset, StyleNetwork, brushwork, choose, transfer};
use lucida::{Cpu, Error, Result};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [photo, painted, size @ ..] = arguments.as_slice() else {
        return Err(Error::argument("give a photo and the file to paint"));
    };
    let network = StyleNetwork::new(choose(None, None)?, Pooling::Max)?;
    let mut settings = Preset::Best.settings(&network, Cpu::detect())?;
    if let Some(size) = size.first() {
        settings.size = size.parse().map_err(|_| Error::argument(format!("{size} is no number of pixels")))?;
    }
    let job = Job::new(Picture::open(photo.as_ref())?, vec![(brushwork()?, 1.0)]);
    let made = transfer(&network, &job, &settings, &mut |step: &Step<'_>| {
        if let (Detail::Style(style), Some(done)) = (step.detail, step.fraction()) {
            eprintln!("{:.0} %: {:.4}", 100.0 * done, style.loss);
        }
        ControlFlow::Continue(())
    })?;
    made.canvas.to_picture()?.save_png(painted.as_ref())
}
