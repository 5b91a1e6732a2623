//! Synthesizes images that maximize filters of VGG16, like `lucida filters vgg16-builtin --layer block3_conv1 --filters
//! 0..4`.
//!
//! `cargo run --release -p lucida --example maximize -- [LAYER] [OUT.png]`

use lucida::explain::maximize::Method;
use lucida::plot::{Cell, Grid};
use lucida::prelude::*;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let layer = arguments.next().unwrap_or_else(|| "block3_conv1".to_owned());
    let out = arguments.next().unwrap_or_else(|| "filters.png".to_owned());

    let model = Model::load("vgg16-builtin")?;
    let filters: Vec<Objective> = (0..4).map(Objective::Channel).collect();
    let method = Method::Fourier(Fourier { steps: 128, ..Fourier::default() });
    let mut progress = |step: &Step| {
        eprint!("\rstep {} of {}", step.done, step.total.unwrap_or_default());
        std::ops::ControlFlow::Continue(())
    };
    let target = Target::layer(layer.as_str());
    let preprocessing = model.preprocessing.as_ref();
    let cpu = Cpu::detect();
    let found = maximize(&model.network, preprocessing, &target, &filters, &method, cpu, &mut progress)?;
    eprintln!();

    let cells = found.into_iter().enumerate();
    let cells = cells.map(|(filter, found)| Cell::new(found.image).caption(format!("{layer}, filter {filter}")));
    Grid::new(cells).render()?.save_png(out)
}
