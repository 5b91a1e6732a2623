//! Paints a photo in the built-in style: what `lucida style photo.jpg brushwork -o painted.png` does.
//!
//! `cargo run --release -p lucida --example paint -- photo.jpg painted.png [SIZE]`

use lucida::data::Picture;
use lucida::style::{Job, Pooling, Preset, Report, StyleNetwork, brushwork, choose, transfer};
use lucida::{Cpu, Error, Result};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [photo, painted, size @ ..] = arguments.as_slice() else {
        return Err(Error::argument("give a photo and the file to paint"));
    };
    let network = StyleNetwork::new(choose(None, None)?, Pooling::Max)?;
    let mut settings = Preset::Best.settings(&network, Cpu::from_env()?)?;
    if let Some(size) = size.first() {
        settings.size = size.parse().map_err(|_| Error::argument(format!("{size} is no number of pixels")))?;
    }
    let job = Job::new(Picture::open(photo.as_ref())?, vec![(brushwork()?, 1.0)]);
    let made = transfer(network, &job, &settings, &mut |report: &Report| {
        eprintln!("{:.0} %: {:.4}", 100.0 * report.done, report.losses.total);
        Ok(true)
    })?;
    made.canvas.to_picture()?.save_png(painted.as_ref())
}
