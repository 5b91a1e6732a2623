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

#[cfg(test)]
mod tests {
    use super::super::{Pooling, Preset};
    use super::*;
    use crate::Cpu;
    use crate::weights::builtin_vgg16_at;

    /// A still scene with the noise of a camera.
    fn frame(index: usize) -> Picture {
        let value = |i: usize| {
            let scene = 120.0 + 70.0 * ((i / 3 % 80) as f32 * 0.13).sin() + 40.0 * ((i / 240) as f32 * 0.19).cos();
            scene as u8 + ((i * 7919 * (index + 3)) % 23) as u8
        };
        Picture::new(80, 64, 3, (0..80 * 64 * 3).map(value).collect()).unwrap()
    }

    fn flicker(temporal_weight: f32) -> f32 {
        let network = StyleNetwork::new(builtin_vgg16_at(32, 32).unwrap(), Pooling::Max).unwrap();
        let settings = Preset::Best.settings(&network, Cpu::detect()).unwrap();
        let settings = Settings { size: 80, smallest: None, steps: 12, ..settings };
        let sequence = Sequence { settings, steps: 8, temporal_weight };
        let mut painted: Vec<Canvas> = Vec::new();
        let style = crate::style::brushwork().unwrap();
        paint_frames(
            network,
            3,
            &[(style, 1.0)],
            &sequence,
            |i| Ok(frame(i)),
            &mut |_, _| Ok(true),
            |index, made| {
                assert_eq!(index, painted.len());
                painted.push(made.canvas.clone());
                Ok(())
            },
        )
        .unwrap();
        let apart = painted[1].values.iter().zip(&painted[2].values).map(|(a, b)| (a - b).abs()).sum::<f32>();
        apart / painted[1].values.len() as f32
    }

    #[test]
    fn the_temporal_loss_holds_flicker_down() {
        let (held, free) = (flicker(100.0), flicker(0.0));
        assert!(held < 0.7 * free, "{held} {free}");
    }

    #[test]
    fn frames_of_other_shapes_are_refused() {
        let network = StyleNetwork::new(builtin_vgg16_at(32, 32).unwrap(), Pooling::Max).unwrap();
        let settings = Preset::Best.settings(&network, Cpu::detect()).unwrap();
        let sequence = Sequence {
            settings: Settings { size: 64, smallest: None, steps: 1, ..settings },
            steps: 1,
            temporal_weight: 1.0,
        };
        let shape = |i: usize| Ok(Picture::filled(64, 48 + 8 * i, &[9, 90, 200]));
        let styles = [(frame(0), 1.0)];
        let result = paint_frames(network, 2, &styles, &sequence, shape, &mut |_, _| Ok(true), |_, _| Ok(()));
        assert!(result.unwrap_err().to_string().contains("frame 2 has another shape"));
    }
}
