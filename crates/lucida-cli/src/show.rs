//! Images in the terminal: through its image protocol if it has one, otherwise as colored half blocks.

use std::env;
use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use lucida::data::{Filter, Image};

use crate::output::unwritable;

/// Width in columns when drawn with block characters, and the longest side in pixels when sent as an image.
const COLUMNS: usize = 72;
const LONGEST: usize = 480;
/// Maximum payload of one chunk of kitty's protocol, in characters.
const PIECE: usize = 4096;

/// The terminal's support for images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    /// Kitty's graphics protocol.
    Kitty,
    /// iTerm2's inline images.
    Iterm,
    /// Colors only.
    Blocks,
}

impl Screen {
    /// Detects the terminal on standard output; `None` if it is not a terminal.
    pub(crate) fn detect() -> Option<Self> {
        io::stdout().is_terminal().then(|| Self::of(|name| env::var(name).ok()))
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is = |name: &str, values: &[&str]| variable(name).is_some_and(|found| values.contains(&found.as_str()));
        if variable("KITTY_WINDOW_ID").is_some()
            || is("TERM", &["xterm-kitty", "xterm-ghostty"])
            || is("TERM_PROGRAM", &["ghostty"])
        {
            Self::Kitty
        } else if is("TERM_PROGRAM", &["iTerm.app", "WezTerm", "mintty"]) {
            Self::Iterm
        } else {
            Self::Blocks
        }
    }

    /// Prints an image; with `again`, over the one printed before.
    pub(crate) fn show(self, image: &Image, again: bool) -> Result<()> {
        let text = self.text(image, again)?;
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(unwritable)
    }

    fn text(self, image: &Image, again: bool) -> Result<String> {
        let longer = image.width().max(image.height());
        let shrunk = |most: usize| {
            let scaled = |side: usize| (side * longer.min(most) / longer).max(1);
            image.to_rgb().resize(scaled(image.width()), scaled(image.height()), Filter::Bilinear)
        };
        // Cells are twice as high as wide.
        let rows = (COLUMNS * image.height()).div_ceil(2 * image.width());
        let mut text = if again {
            format!("\x1b[{}A\r", if self == Self::Blocks { rows } else { rows + 1 })
        } else {
            String::new()
        };
        match self {
            Self::Kitty => {
                let data = base64(&shrunk(LONGEST)?.png_bytes()?);
                let pieces: Vec<&[u8]> = data.as_bytes().chunks(PIECE).collect();
                for (index, piece) in pieces.iter().enumerate() {
                    let first = if index == 0 { format!("a=T,f=100,c={COLUMNS},r={rows},") } else { String::new() };
                    let more = u8::from(index + 1 < pieces.len());
                    text += &format!("\x1b_G{first}m={more};{}\x1b\\", String::from_utf8_lossy(piece));
                }
                text += "\n\n";
            }
            Self::Iterm => {
                let data = base64(&shrunk(LONGEST)?.png_bytes()?);
                text += &format!("\x1b]1337;File=inline=1;width={COLUMNS};height={rows}:{data}\x07\n\n");
            }
            Self::Blocks => {
                let small = image.to_rgb().resize(COLUMNS, 2 * rows, Filter::Bilinear)?;
                for row in 0..rows {
                    for x in 0..COLUMNS {
                        let (upper, lower) = (small.pixel(x, 2 * row), small.pixel(x, 2 * row + 1));
                        text += &format!(
                            "\x1b[38;2;{};{};{}m\x1b[48;2;{};{};{}m▀",
                            upper[0], upper[1], upper[2], lower[0], lower[1], lower[2]
                        );
                    }
                    text += "\x1b[0m\n";
                }
            }
        }
        Ok(text)
    }
}

/// Base64 encoding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            match place <= chunk.len() {
                true => text.push(char::from(LETTERS[(word >> (18 - 6 * place) & 63) as usize])),
                false => text.push('='),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_standard() {
        let vectors = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        vectors.iter().for_each(|(bytes, text)| assert_eq!(base64(bytes.as_bytes()), *text));
    }

    #[test]
    fn terminals_are_known_by_their_variables() {
        let of = |name: &'static str, value: &'static str| Screen::of(move |n| (n == name).then(|| value.to_owned()));
        assert_eq!(of("TERM", "xterm-kitty"), Screen::Kitty);
        assert_eq!(of("TERM_PROGRAM", "WezTerm"), Screen::Iterm);
        assert_eq!(of("TERM", "xterm-256color"), Screen::Blocks);
    }

    #[test]
    fn images_become_text() {
        let image = Image::filled(144, 96, &[9, 8, 7]);
        let blocks = Screen::Blocks.text(&image, false).unwrap();
        assert_eq!(blocks.lines().count(), 24);
        assert_eq!(blocks.matches("\x1b[38;2;9;8;7m\x1b[48;2;9;8;7m▀").count(), 24 * 72);
        assert!(Screen::Blocks.text(&image, true).unwrap().starts_with("\x1b[24A\r"));
        assert!(Screen::Kitty.text(&image, false).unwrap().starts_with("\x1b_Ga=T,f=100,c=72,r=24,m=0;iVBOR"));
        assert!(Screen::Iterm.text(&image, false).unwrap().contains("File=inline=1;width=72;height=24:iVBOR"));
    }
}
