//! Attributions as images: overlays, comparison sheets, and the strips of the sanity check.

use super::{Faithfulness, HeatMap, SanityCheck};
use crate::Result;
use crate::data::Image;
use crate::explain::sheet::{hatched, stack};
use crate::plot::{Cell, Grid, Heat, HeatOverlay, HeatScale};

/// Maps in a row of a sheet.
const COLUMNS: usize = 5;

/// Pixels between a map and its color scale.
const SCALE_GAP: usize = 4;

/// An attribution map and its faithfulness.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The map.
    pub map: HeatMap,
    /// The deletion and insertion curves.
    pub faithfulness: Faithfulness,
}

/// The map over its image, which is that of the network's input (see [`Preprocessing::to_image`]). A small image is
/// enlarged. A constant map is hatched.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) when the map and the image differ in size.
///
/// [`Preprocessing::to_image`]: crate::data::Preprocessing::to_image
pub fn overlay(image: &Image, map: &HeatMap) -> Result<Image> {
    render_map(image, map, HeatOverlay::zoom_for(image))
}

/// The color scale of an [`overlay`], as `count` colors; `None` for a constant map.
pub fn heat_scale(image: &Image, map: &HeatMap, count: usize) -> Option<HeatScale> {
    map.flat_reason().is_none().then(|| heat(image, map).scale_colors(count))
}

fn render_map(image: &Image, map: &HeatMap, zoom: usize) -> Result<Image> {
    // Rendered in any case, to validate the arguments.
    let rendered = heat(image, map).zoom(zoom).render()?;
    Ok(match map.flat_reason() {
        Some(_) => hatched(rendered.width(), rendered.height(), 1),
        None => rendered,
    })
}

/// The map with its color scale below, unless the map is constant.
fn with_scale(image: &Image, map: &HeatMap, zoom: usize) -> Result<Image> {
    let render_map = render_map(image, map, zoom)?;
    let scale = heat(image, map).scale(render_map.width());
    let scale = if map.flat_reason().is_some() { blank(&scale) } else { scale };
    stack(&[render_map, scale], SCALE_GAP, 0)
}

fn blank(scale: &Image) -> Image {
    Image::filled(scale.width(), scale.height(), &[255; 3])
}

fn heat<'a>(image: &'a Image, map: &'a HeatMap) -> HeatOverlay<'a> {
    let heat = if map.method.is_signed() { Heat::Signed } else { Heat::Positive };
    HeatOverlay::new(image, &map.values, heat).smooth(map.method.is_smooth())
}

/// One sheet with the image and each map, captioned with its method and faithfulness. `class` describes the class of the
/// maps: `7 (99.98 %)`.
///
/// # Errors
/// As [`overlay`].
pub fn comparison(image: &Image, class: &str, explained: &[Explained]) -> Result<Image> {
    // A single map is enlarged further.
    let zoom = match HeatOverlay::zoom_for(image) {
        small if small > 1 && explained.len() == 1 => 2 * small,
        zoom => zoom,
    };
    let original = enlarged(image, zoom)?;
    // Padded to the height of the maps with their scales, so that all are aligned.
    let space = explained.first().map(|one| blank(&heat(image, &one.map).scale(original.width())));
    let original = stack(&[Some(original), space].into_iter().flatten().collect::<Vec<_>>(), SCALE_GAP, 0)?;
    let mut cells = vec![Cell::new(original).caption(format!("Image\n{class}"))];
    for Explained { map, faithfulness } in explained {
        let (deletion, insertion) = (faithfulness.deletion_area(), faithfulness.insertion_area());
        let caption = match map.flat_reason() {
            Some(reason) => format!("{}\n{}", map.method.title(), reason.replace(": ", ":\n")),
            None => format!("{}\ndeletion {deletion:.3}, insertion {insertion:.3}", map.method.title()),
        };
        let cell = Cell::new(with_scale(image, map, zoom)?).caption(caption);
        cells.push(cell.flagged(map.flat_reason().is_some()));
    }
    let alone = match explained {
        [Explained { map, .. }] => Some(map.method.description()),
        _ => None,
    };
    let title = match alone {
        Some(description) => format!("{class}: {description}"),
        None => format!(
            "Evidence for {class} (red or bright: for, blue: against). Deletion: lower is better; insertion: higher"
        ),
    };
    Grid::new(cells).columns(COLUMNS).margin(16).padding(20).title(title).render()
}

/// The strips of the sanity check: a row for each method, from the trained network to the fully randomized one, with the
/// rank correlation and the structural similarity. A map that hardly changes although all weights are random is flagged.
///
/// # Errors
/// As [`overlay`]; [`Error::Argument`](crate::Error::Argument) when `checks` is empty.
pub fn sanity_strips(image: &Image, checks: &[SanityCheck]) -> Result<Image> {
    let zoom = HeatOverlay::zoom_for(image).div_ceil(2);
    let columns = checks.iter().map(|check| check.stages.len() + 1).max().unwrap_or(1);
    let mut cells = Vec::new();
    for check in checks {
        let caption = format!("{}\ntrained", check.original.method.title());
        cells.push(Cell::new(render_map(image, &check.original, zoom)?).caption(caption));
        for (number, stage) in check.stages.iter().enumerate() {
            let (rank, similarity) = (stage.rank_correlation, stage.structural_similarity);
            let caption = format!("{} random\nrank {rank:.2}, SSIM {similarity:.2}", stage.layer);
            let last = number + 1 == check.stages.len();
            let image = render_map(image, &stage.map, zoom)?;
            cells.push(Cell::new(image).caption(caption).flagged(last && check.is_suspicious()));
        }
    }
    let title = "Sanity check: weights randomized from the last layer down. A map that does not change ignores what was learned";
    Grid::new(cells).columns(columns).margin(12).padding(20).title(title).render()
}

fn enlarged(image: &Image, zoom: usize) -> Result<Image> {
    Grid::new([image.clone()]).zoom(zoom).render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{ExplainConfig, Explainer, Method, sanity_check};
    use crate::nn::applications;
    use crate::weights::Model;

    #[test]
    fn sheets_and_strips() {
        let model = Model::new(applications::mnist_cnn(1).unwrap());
        let input: Vec<f32> = (0..784).map(|i| ((i * 37) % 101) as f32 / 100.0).collect();
        let image = Image::new(28, 28, 1, input.iter().map(|x| (255.0 * x) as u8).collect()).unwrap();
        let settings = ExplainConfig { masks: 10, samples: 2, ..ExplainConfig::default() };
        let mut explainer = Explainer::new(&model, &settings).unwrap();
        let mut of = |method| {
            let map = explainer.explain(&input, 3, method).unwrap();
            let faithfulness = explainer.faithfulness(&input, &map).unwrap();
            Explained { map, faithfulness }
        };
        let all: Vec<Explained> = Method::ALL.into_iter().map(&mut of).collect();
        assert_eq!(overlay(&image, &all[0].map).unwrap().width(), 224);
        let sheet = comparison(&image, "3 (9.80 %)", &all).unwrap();
        assert_eq!(sheet.width(), 5 * 224 + 4 * 16 + 2 * 20);
        assert!(sheet.height() > 3 * 280 && sheet.height() < 3 * 330, "{}", sheet.height());
        let zero = HeatMap { values: vec![0.0; 784], ..all[5].map.clone() };
        assert_eq!(
            zero.flat_reason(),
            Some("the map is zero everywhere: no position of the layer raises the class's score")
        );
        assert_eq!(all[5].map.flat_reason(), None);
        let of = |method, value| HeatMap { values: vec![value; 784], method, ..all[5].map.clone() }.flat_reason();
        assert!(of(Method::Gradient, 0.0).unwrap().contains("the gradient of the class's score is zero"));
        assert!(of(Method::GradientXInput, 0.0).unwrap().contains("attributes none"));
        assert_eq!(of(Method::Rise, 0.25), Some("the map is constant: all pixels have the same attribution"));
        assert_eq!(heat_scale(&image, &zero, 9), None);
        assert_eq!(heat_scale(&image, &all[5].map, 9).unwrap().colors.len(), 9);
        let hatch = overlay(&image, &zero).unwrap();
        assert!(hatch.pixels().iter().all(|&byte| byte > 150), "a map of zeros is hatched, not black");
        let zeros = Explained { map: zero, ..all[5].clone() };
        assert!(comparison(&image, "3", &[zeros]).unwrap().height() > 448);
        let pair = comparison(&image, "3 (9.80 %)", &all[5..6]).unwrap();
        assert_eq!(pair.width(), 2 * 448 + 16 + 2 * 20);
        let methods = [Method::Gradient, Method::GradCam];
        let checks = sanity_check(&model, &input, 3, &methods, &settings, &mut ()).unwrap();
        let strips = sanity_strips(&image, &checks).unwrap();
        assert!(strips.width() > 6 * 112 && strips.height() > 2 * 112);
        assert!(overlay(&Image::filled(3, 3, &[0]), &all[0].map).is_err());
        assert!(sanity_strips(&image, &[]).is_err());
    }
}
