//! Style transfer for video: frames with temporal consistency.
//!
//! Each frame starts from the previous stylized frame, warped by the optical flow; where the flow is reliable a temporal
//! loss keeps it close to that (M. Ruder, A. Dosovitskiy, T. Brox, "Artistic style transfer for videos", 2016). Areas that
//! were hidden in the previous frame are filled with patches of stylized areas with similar content. The first frame, and
//! any that has little in common with the previous one, is computed from coarse to fine like a still image, the others at
//! the final size only.

use crate::core::{Detail, Progress, Step, StyleProgress};
use crate::data::Image;
use crate::style::pipeline::constrained_objective::TemporalTarget;
use crate::style::pipeline::pyramid::{scaled, sizes};
use crate::style::pipeline::transfer::{transfer_frame, work};
use crate::style::video::fill::fill;
use crate::style::video::flow::Flow;
use crate::style::{Canvas, InitialImage, StyleConfig, StyleNetwork, StyleRequest, StyleResult};
use crate::{Error, Result};

/// A frame is a scene cut if a larger share of it was hidden in the previous frame.
const CUT: f32 = 0.6;

/// The configuration of a frame sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameSequence {
    /// Configuration of the first frame; size and style apply to all.
    pub config: StyleConfig,
    /// Steps for each frame after the first.
    pub steps: usize,
    /// Weight of the mean squared difference from the warped previous frame, for pixels from 0 to 1.
    pub temporal_weight: f32,
}

/// Stylizes frames in order. `frame` reads frame number `index`, from 0; `done` receives each stylized frame. Progress
/// counts pixels times steps of all frames, with a [`Detail::Style`].
///
/// ```
/// use lucida::prelude::*;
/// use lucida::style::{FrameSequence, brushwork, choose_network, stylize_frames};
///
/// # let network = StyleNetwork::new(choose_network(Some("vgg16-builtin"), None)?, Pooling::Max)?;
/// let preset = Preset::Best.config(&network, Cpu::detect())?;
/// let config = StyleConfig { size: 32, smallest: None, first_steps: 2, ..preset };
/// let sequence = FrameSequence { config, steps: 1, temporal_weight: 100.0 };
/// let frame = |index: usize| Ok(Image::filled(32, 32, &[90 + index as u8, 120, 200]));
/// let mut frames = Vec::new();
/// stylize_frames(&network, 2, &[(brushwork()?, 1.0)], &sequence, frame, &mut (), |_, result| {
///     frames.push(result.canvas.to_image()?);
///     Ok(())
/// })?;
/// assert_eq!(frames.len(), 2);
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// As [`transfer`](crate::style::transfer), and those of `frame` and `done`; [`Error::Argument`] when a frame's size differs
/// from that of the first; [`Error::Interrupted`] when `progress` stops it.
pub fn stylize_frames(
    network: &StyleNetwork,
    count: usize,
    styles: &[(Image, f32)],
    sequence: &FrameSequence,
    mut frame: impl FnMut(usize) -> Result<Image>,
    progress: &mut dyn Progress,
    mut done: impl FnMut(usize, &StyleResult) -> Result<()>,
) -> Result<()> {
    let mut run = SequenceRun::new(network, styles, sequence, count);
    for index in 0..count {
        let result = run.stylize(frame(index)?, progress)?;
        done(index, &result)?;
        if result.stopped {
            return Err(Error::Interrupted);
        }
        run.keep(result.canvas);
    }
    Ok(())
}

/// A sequence in progress.
pub(in crate::style) struct SequenceRun<'a> {
    network: &'a StyleNetwork,
    styles: &'a [(Image, f32)],
    sequence: &'a FrameSequence,
    count: usize,
    /// Index of the next frame.
    index: usize,
    /// The previous frame: original and, once kept, stylized.
    before: [Option<Canvas>; 2],
    share: Shard,
}

impl<'a> SequenceRun<'a> {
    /// Creates a run of about `count` frames.
    pub(in crate::style) fn new(
        network: &'a StyleNetwork,
        styles: &'a [(Image, f32)],
        sequence: &'a FrameSequence,
        count: usize,
    ) -> Self {
        Self { network, styles, sequence, count, index: 0, before: [None, None], share: Shard::default() }
    }

    /// Stylizes the next frame.
    pub(in crate::style) fn stylize(&mut self, content: Image, progress: &mut dyn Progress) -> Result<StyleResult> {
        let (sequence, index) = (self.sequence, self.index);
        self.count = self.count.max(index + 1);
        let count = self.count;
        let (size, seen) = self.seen(&content)?;
        let again = match &self.before {
            [Some(last_seen), Some(last_styled)] => {
                same_shape(index, size, last_seen.size)?;
                sequence.over(&seen, last_seen, last_styled)?
            }
            _ => None,
        };
        let (config, temporal) = again.unzip();
        let config = config.as_ref().unwrap_or(&sequence.config);
        self.share.begin(sequence, count, index, work(&sizes(size, config.smallest), config)[1], size);
        let request = StyleRequest::new(content, self.styles.to_vec());
        let share = &self.share;
        let mut of_frame = |step: &Step<'_>| {
            let frame = Some([index + 1, count]);
            let detail = match step.detail {
                Detail::Style(style) => Detail::Style(StyleProgress { frame, ..style }),
                other => other,
            };
            progress.update(&Step { done: share.spent + step.done, total: Some(share.total()), detail, ..*step })
        };
        let result = transfer_frame(self.network, &request, config, temporal.as_ref(), &mut of_frame)?;
        self.share.end();
        self.index += 1;
        self.before = [Some(seen), None];
        Ok(result)
    }

    /// Stores the last stylized frame, from which the next one starts.
    pub(in crate::style) fn keep(&mut self, styled: Canvas) {
        self.before[1] = Some(styled);
    }

    /// Resumes after `done` frames; `last` is the last one of them, and `styled` its stylized version.
    pub(in crate::style) fn resume(&mut self, done: usize, last: &Image, styled: Canvas) -> Result<()> {
        let (_, seen) = self.seen(last)?;
        (self.index, self.before) = (done, [Some(seen), Some(styled)]);
        Ok(())
    }

    /// Resizes a frame to the size of the result.
    fn seen(&self, content: &Image) -> Result<([usize; 2], Canvas)> {
        let size = scaled("a frame", [content.height(), content.width()], self.sequence.config.size)?;
        Ok((size, Canvas::of_image_at(content, size)?))
    }
}

fn same_shape(index: usize, [height, width]: [usize; 2], last: [usize; 2]) -> Result<()> {
    if last == [height, width] {
        return Ok(());
    }
    let problem = "has another shape than the one before";
    Err(Error::argument(format!("frame {} {problem}: {width}x{height} and not {}x{}", index + 1, last[1], last[0])))
}

impl FrameSequence {
    /// Configuration and temporal target of a frame that follows another; none at a scene cut.
    fn over(
        &self,
        seen: &Canvas,
        last_seen: &Canvas,
        last_styled: &Canvas,
    ) -> Result<Option<(StyleConfig, TemporalTarget)>> {
        let flow = Flow::between(seen, last_seen, self.config.cpu);
        if flow.hidden.iter().sum::<f32>() > CUT * flow.hidden.len() as f32 {
            return Ok(None);
        }
        let moved = flow.warp(last_styled)?;
        let config = StyleConfig {
            start: InitialImage::Canvas(fill(seen, &moved, &flow.hidden, self.config.seed)),
            smallest: None,
            steps: self.steps,
            first_steps: self.steps,
            ..self.config.clone()
        };
        Ok(Some((config, TemporalTarget { canvas: moved, mask: flow.reliability, weight: self.temporal_weight })))
    }
}

/// Progress of a sequence, in pixels times steps.
#[derive(Debug, Default)]
struct Shard {
    spent: u64,
    frame: u64,
    /// Work of the remaining frames.
    later: u64,
}

impl Shard {
    /// Starts frame `index`, whose work is `frame`.
    fn begin(&mut self, sequence: &FrameSequence, count: usize, index: usize, frame: u64, size: [usize; 2]) {
        let each = (sequence.steps * size[0] * size[1]) as u64;
        (self.frame, self.later) = (frame, (count - 1 - index) as u64 * each);
    }

    /// Estimated total work of the sequence.
    fn total(&self) -> u64 {
        self.spent + self.frame + self.later
    }

    fn end(&mut self) {
        self.spent += self.frame;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::style::{Pooling, Preset};
    use crate::weights::builtin_vgg16_at;

    /// A static scene with camera noise.
    fn frame(index: usize) -> Image {
        let value = |i: usize| {
            let scene = 120.0 + 70.0 * ((i / 3 % 80) as f32 * 0.13).sin() + 40.0 * ((i / 240) as f32 * 0.19).cos();
            scene as u8 + ((i * 7919 * (index + 3)) % 23) as u8
        };
        Image::new(80, 64, 3, (0..80 * 64 * 3).map(value).collect()).unwrap()
    }

    fn flicker(temporal_weight: f32) -> f32 {
        let network = StyleNetwork::new(builtin_vgg16_at(32, 32).unwrap(), Pooling::Max).unwrap();
        let config = Preset::Best.config(&network, Cpu::detect()).unwrap();
        let config = StyleConfig { size: 80, smallest: None, steps: 12, ..config };
        let sequence = FrameSequence { config, steps: 8, temporal_weight };
        let mut styled: Vec<Canvas> = Vec::new();
        let style = crate::style::brushwork().unwrap();
        stylize_frames(
            &network,
            3,
            &[(style, 1.0)],
            &sequence,
            |i| Ok(frame(i)),
            &mut (),
            |index, result| {
                assert_eq!(index, styled.len());
                styled.push(result.canvas.clone());
                Ok(())
            },
        )
        .unwrap();
        let difference = styled[1].values.iter().zip(&styled[2].values).map(|(a, b)| (a - b).abs()).sum::<f32>();
        difference / styled[1].values.len() as f32
    }

    #[test]
    fn the_temporal_loss_holds_flicker_down() {
        let (held, free) = (flicker(100.0), flicker(0.0));
        assert!(held < 0.7 * free, "{held} {free}");
    }

    fn sequence(steps: [usize; 2]) -> (StyleNetwork, FrameSequence) {
        let network = StyleNetwork::new(builtin_vgg16_at(32, 32).unwrap(), Pooling::Max).unwrap();
        let config = Preset::Best.config(&network, Cpu::detect()).unwrap();
        let config = StyleConfig { size: 64, smallest: Some(44), steps: steps[0], first_steps: steps[0], ..config };
        (network, FrameSequence { config, steps: steps[1], temporal_weight: 1.0 })
    }

    /// A window of a wide scene, from column `left`.
    fn window(left: usize) -> Canvas {
        let value = |at: usize| {
            let (y, x) = ((at / 128) as f32, (at % 128 + left) as f32);
            let v = 110.0 + 40.0 * (y * 0.21 + (x * 0.05).sin() * 3.0).sin() + 40.0 * (x * 0.17 + y * y * 0.002).cos();
            [v, 0.7 * v, 220.0 - v]
        };
        Canvas { size: [96, 128], values: (0..96 * 128).flat_map(value).collect() }
    }

    /// Mean difference between horizontal neighbors in some columns.
    fn texture(canvas: &Canvas, columns: std::ops::Range<usize>) -> f32 {
        let at = |y: usize, x: usize| canvas.values[3 * (128 * y + x)];
        let count = (96 * columns.len()) as f32;
        columns.map(|x| (0..96).map(|y| (at(y, x) - at(y, x - 1)).abs()).sum::<f32>()).sum::<f32>() / count
    }

    #[test]
    fn uncovered_areas_start_from_what_is_stylized() {
        let (_, sequence) = sequence([1, 1]);
        let (mut seen, mut styled) = (window(0), window(0));
        // Strokes 2 columns wide.
        styled.values.iter_mut().enumerate().for_each(|(i, v)| *v += if i / 3 % 4 < 2 { 30.0 } else { -30.0 });
        for left in [8, 16, 24] {
            let now = window(left);
            let (config, temporal) = sequence.over(&now, &seen, &styled).unwrap().unwrap();
            let InitialImage::Canvas(start) = config.start else { panic!("{:?}", config.start) };
            // The columns that came into view have no temporal target, and the edge is not jagged.
            let held = (0..96).map(|y| temporal.mask[128 * y + 124]).sum::<f32>() / 96.0;
            assert!(held < 0.2, "{left}: {held}");
            assert!(
                temporal
                    .mask
                    .windows(2)
                    .enumerate()
                    .all(|(at, pair)| at % 128 == 127 || (pair[0] - pair[1]).abs() < 0.4)
            );
            (seen, styled) = (now, start);
        }
        let (came_in, rest) = (texture(&styled, 106..127), texture(&styled, 20..90));
        assert!(came_in > 0.7 * rest && texture(&seen, 106..127) < 0.3 * rest, "{came_in} {rest}");
    }

    #[test]
    fn a_cut_begins_anew_and_the_work_is_that_of_all_frames() {
        let (network, sequence) = sequence([4, 3]);
        let image = |index: usize| {
            let scene = window(8 * index).to_image()?;
            let noise = (0..96 * 128 * 3).map(|i: usize| (i.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
            if index < 2 { Ok(scene) } else { Image::new(128, 96, 3, noise) }
        };
        let (mut done, mut steps) = (Vec::new(), Vec::new());
        let styles = [(frame(0), 1.0)];
        let mut tell = |step: &Step<'_>| {
            done.push(step.fraction().unwrap());
            std::ops::ControlFlow::Continue(())
        };
        stylize_frames(&network, 3, &styles, &sequence, image, &mut tell, |_, result| {
            steps.push(result.steps);
            Ok(())
        })
        .unwrap();
        // Two scales, one, and two again.
        assert_eq!(steps, [8, 3, 8]);
        assert!((done.last().unwrap() - 1.0).abs() < 1e-9 && done[7] < 0.6, "{done:?}");
    }

    #[test]
    fn frames_of_other_shapes_are_refused() {
        let network = StyleNetwork::new(builtin_vgg16_at(32, 32).unwrap(), Pooling::Max).unwrap();
        let config = Preset::Best.config(&network, Cpu::detect()).unwrap();
        let sequence = FrameSequence {
            config: StyleConfig { size: 64, smallest: None, steps: 1, ..config },
            steps: 1,
            temporal_weight: 1.0,
        };
        let shape = |i: usize| Ok(Image::filled(64, 48 + 8 * i, &[9, 90, 200]));
        let styles = [(frame(0), 1.0)];
        let result = stylize_frames(&network, 2, &styles, &sequence, shape, &mut (), |_, _| Ok(()));
        assert!(result.unwrap_err().to_string().contains("frame 2 has another shape"));
    }
}
