//! Color maps: from a number between 0 and 1 to a color.

use std::fmt;
use std::str::FromStr;

use super::Rgb;
use crate::similar::expected_one_of;
use crate::{Error, Result};

/// A color map with 256 levels, by its name in matplotlib.
///
/// The perceptually uniform maps (viridis, magma, inferno, plasma, cividis) suit quantities; turbo shows more detail
/// at the price of uniformity; the diverging maps suit signed values with zero in the middle, see
/// [`Normalize::Symmetric`](super::Normalize::Symmetric).
///
/// ```
/// use lucida::plot::Colormap;
///
/// assert_eq!("magma".parse::<Colormap>()?, Colormap::Magma);
/// assert_eq!(Colormap::Gray.rgb(1.0), [255, 255, 255]);
/// assert_eq!(Colormap::RdBu.rgb(f32::NAN), Colormap::NAN);
/// # Ok::<(), lucida::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Colormap {
    /// Dark violet through green to yellow.
    #[default]
    Viridis,
    /// Black through purple to pale yellow.
    Magma,
    /// Black through red to pale yellow.
    Inferno,
    /// Blue through red to yellow.
    Plasma,
    /// Blue to yellow, nearly the same to color-blind readers.
    Cividis,
    /// A rainbow that is bright in the middle and dark at both ends.
    Turbo,
    /// Black to white.
    Gray,
    /// Red (0) through white (0.5) to blue (1).
    RdBu,
    /// Blue (0) through white (0.5) to red (1): negative values are blue, positive ones red.
    RdBuR,
}

/// The number of levels of a map.
const LEVELS: usize = 256;

impl Colormap {
    /// All maps.
    pub const ALL: [Self; 9] = [
        Self::Viridis,
        Self::Magma,
        Self::Inferno,
        Self::Plasma,
        Self::Cividis,
        Self::Turbo,
        Self::Gray,
        Self::RdBu,
        Self::RdBuR,
    ];

    /// The color of NaN in every map: magenta, which no map contains.
    pub const NAN: Rgb = [255, 0, 255];

    /// The map's name in matplotlib.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viridis => "viridis",
            Self::Magma => "magma",
            Self::Inferno => "inferno",
            Self::Plasma => "plasma",
            Self::Cividis => "cividis",
            Self::Turbo => "turbo",
            Self::Gray => "gray",
            Self::RdBu => "RdBu",
            Self::RdBuR => "RdBu_r",
        }
    }

    /// Finds a map by name, ignoring case.
    ///
    /// # Errors
    /// [`Error::Argument`] lists the names.
    pub fn from_name(name: &str) -> Result<Self> {
        let wanted = if name.eq_ignore_ascii_case("grey") { "gray" } else { name };
        Self::ALL.into_iter().find(|map| map.name().eq_ignore_ascii_case(wanted)).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|map| map.name()).collect();
            Error::argument(format!("unknown colormap {name:?}{}", expected_one_of(name, &names.join(", "))))
        })
    }

    /// The color of `value`, which is clamped to 0..1; NaN is [`Colormap::NAN`].
    pub fn rgb(self, value: f32) -> Rgb {
        if value.is_nan() { Self::NAN } else { self.level(index(value)) }
    }

    /// The colors of many values as RGB bytes, see [`rgb`](Self::rgb).
    pub fn apply(self, values: &[f32]) -> Vec<u8> {
        let table: Vec<Rgb> = (0..LEVELS).map(|level| self.level(level)).collect();
        values.iter().flat_map(|&value| if value.is_nan() { Self::NAN } else { table[index(value)] }).collect()
    }

    fn level(self, level: usize) -> Rgb {
        let of = |gradient: colorous::Gradient, level| gradient.eval_rational(level, LEVELS).into_array();
        match self {
            Self::Viridis => of(colorous::VIRIDIS, level),
            Self::Magma => of(colorous::MAGMA, level),
            Self::Inferno => of(colorous::INFERNO, level),
            Self::Plasma => of(colorous::PLASMA, level),
            Self::Cividis => of(colorous::CIVIDIS, level),
            Self::Turbo => of(colorous::TURBO, level),
            Self::Gray => [level as u8; 3],
            Self::RdBu => of(colorous::RED_BLUE, level),
            Self::RdBuR => of(colorous::RED_BLUE, LEVELS - 1 - level),
        }
    }
}

fn index(value: f32) -> usize {
    (value.clamp(0.0, 1.0) * (LEVELS - 1) as f32).round() as usize
}

impl FromStr for Colormap {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::from_name(name)
    }
}

impl fmt::Display for Colormap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first and last entries of matplotlib 3's tables, within one level for rounding.
    #[test]
    fn ends_are_matplotlibs() {
        let ends = [
            (Colormap::Viridis, [68, 1, 84], [253, 231, 37]),
            (Colormap::Magma, [0, 0, 4], [252, 253, 191]),
            (Colormap::Inferno, [0, 0, 4], [252, 255, 164]),
            (Colormap::Plasma, [13, 8, 135], [240, 249, 33]),
            (Colormap::Gray, [0, 0, 0], [255, 255, 255]),
            (Colormap::RdBu, [103, 0, 31], [5, 48, 97]),
            (Colormap::RdBuR, [5, 48, 97], [103, 0, 31]),
        ];
        for (map, first, last) in ends {
            for (value, expected) in [(0.0, first), (1.0, last), (-3.0, first), (f32::INFINITY, last)] {
                let got = map.rgb(value);
                let apart = got.iter().zip(expected).map(|(&a, b): (&u8, u8)| a.abs_diff(b)).max();
                assert!(apart <= Some(1), "{map} at {value}: {got:?}, expected {expected:?}");
            }
        }
    }

    #[test]
    fn names_lead_back_and_an_unknown_one_lists_them() {
        for map in Colormap::ALL {
            assert_eq!(map.name().to_uppercase().parse::<Colormap>().unwrap(), map);
        }
        assert_eq!(Colormap::from_name("Grey").unwrap(), Colormap::Gray);
        let message = Colormap::from_name("jet").unwrap_err().to_string();
        assert!(message.contains("\"jet\"") && message.contains("viridis") && message.contains("RdBu_r"), "{message}");
    }

    #[test]
    fn many_values_agree_with_one_and_nan_shows() {
        let values: Vec<f32> = (-10..=110).map(|i| i as f32 / 100.0).chain([f32::NAN]).collect();
        for map in Colormap::ALL {
            let bytes = map.apply(&values);
            for (&value, rgb) in values.iter().zip(bytes.chunks_exact(3)) {
                assert_eq!(rgb, map.rgb(value));
            }
            assert_eq!(bytes[bytes.len() - 3..], Colormap::NAN);
        }
    }

    #[test]
    fn the_diverging_map_is_light_and_neutral_in_the_middle() {
        let [r, g, b] = Colormap::RdBu.rgb(0.5);
        assert!(r.min(g).min(b) > 235, "{r} {g} {b}");
    }
}
