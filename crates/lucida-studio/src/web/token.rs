//! The secret that clients must send: the token of a studio on the network, or the key of a prediction server.

use std::fmt;

use lucida::{Error, Result};
use subtle::ConstantTimeEq;

/// Hexadecimal text of 128 random bits, or a text that the user chose.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// Generates a token from the system's random numbers.
    pub(crate) fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::Unsupported(format!("cannot get random numbers for a token: {error}")))?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Uses a text that the user chose.
    pub(crate) fn chosen(text: String) -> Self {
        Self(text)
    }

    /// Whether a text equals the token. The time that the comparison takes does not reveal where they differ.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(...)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_not_printed() {
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_eq!(one.text().len(), 32);
        assert!(one.is(one.text()) && !one.is(other.text()) && !one.is("") && !one.is(&one.text()[..31]));
        assert!(!format!("{one:?}").contains(one.text()));
    }
}
