//! Identifiers of what clients send: derived from the content, and safe as a part of a file name.

use sha2::{Digest, Sha256};

/// Number of hexadecimal digits.
const DIGITS: usize = 24;

/// Returns the identifier `PREFIX-HASH` of a content.
pub(crate) fn of_content(prefix: &str, parts: &[&[u8]]) -> String {
    let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
    let hex: String = hash.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}-{hex}")
}

/// Whether a text is an identifier with this prefix. It becomes part of a file name, so the check is strict.
pub(crate) fn is_identifier(prefix: &str, text: &str) -> bool {
    let hash = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')).unwrap_or_default();
    hash.len() == DIGITS && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
