//! Sequences: frames that hold together in time.
//!
//! Each frame is painted over the one before, moved to where its parts are now; and where the movement is known it is held
//! near to that (M. Ruder, A. Dosovitskiy, T. Brox, "Artistic style transfer for videos", 2016). The first frame is
//! painted from coarse to fine as any picture, the others in the final size only.

use super::flow::Flow;
use super::pyramid::scaled;
use super::transfer::{Near, transfer_near};
use super::{Canvas, Job, Report, Settings, Start, StyleNetwork, Transferred, Watch};
use crate::data::Picture;
use crate::{Error, Result};

/// How a sequence is painted.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// How its first frame is painted, and in which size and style all are.
    pub settings: Settings,
    /// Steps for each frame after the first.
    pub steps: usize,
    /// The weight of the mean squared difference from the frame before, moved, where pixels go from 0 to 1.
    pub temporal_weight: f32,
}

/// Paints frames one after the other. `frame` reads frame number `index`, from 0; `done` takes each frame when it is
/// painted, and says whether to go on.
///
/// # Errors
/// As [`transfer`](super::transfer), and those of `frame` and `done`; [`Error::Argument`] when a frame has another size
/// than the first.
pub fn paint_frames(
    network: StyleNetwork,
    count: usize,
    styles: &[(Picture, f32)],
    sequence: &Sequence,
    mut frame: impl FnMut(usize) -> Result<Picture>,
    watch: &mut dyn FnMut(usize, &Report) -> Result<bool>,
    mut done: impl FnMut(usize, &Transferred) -> Result<()>,
) -> Result<()> {
    let mut network = network;
    let mut before: Option<(Canvas, Canvas)> = None;
    for index in 0..count {
        let content = frame(index)?;
        let size = scaled("a frame", [content.height(), content.width()], sequence.settings.size)?;
        let seen = Canvas::of_picture_at(&content, size)?;
        let job = Job::new(content, styles.to_vec());
        let mut watching = |report: &Report| watch(index, report);
        let (made, back) = match before.take() {
            None => transfer_near(network, &job, &sequence.settings, None, &mut watching)?,
            Some((last_seen, last_painted)) => {
                if last_seen.size != size {
                    let [height, width] = size;
                    let problem = format!(
                        "frame {} has another shape than the one before: {width}x{height} and not {}x{}",
                        index + 1,
                        last_seen.size[1],
                        last_seen.size[0]
                    );
                    return Err(Error::argument(problem));
                }
                let flow = Flow::between(&seen, &last_seen, sequence.settings.cpu);
                let moved = flow.warp(&last_painted)?;
                let near = Near { canvas: moved.clone(), mask: flow.trust.clone(), weight: sequence.temporal_weight };
                let settings = Settings {
                    start: Start::Canvas(over(&moved, &seen, &flow.trust)),
                    smallest: None,
                    steps: sequence.steps,
                    ..sequence.settings.clone()
                };
                transfer_near(network, &job, &settings, Some(&near), &mut watching as &mut dyn Watch)?
            }
        };
        network = back;
        done(index, &made)?;
        if made.stopped {
            return Err(Error::Interrupted);
        }
        before = Some((seen, made.canvas));
    }
    Ok(())
}

/// One picture where it is trusted, the other elsewhere.
fn over(canvas: &Canvas, other: &Canvas, trust: &[f32]) -> Canvas {
    let pixels = canvas.values.chunks_exact(3).zip(other.values.chunks_exact(3)).zip(trust);
    let mix = pixels.flat_map(|((a, b), &trust)| [0, 1, 2].map(|c: usize| b[c] + trust * (a[c] - b[c])));
    Canvas { size: canvas.size, values: mix.collect() }
}
