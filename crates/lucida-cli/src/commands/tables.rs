//! Formatting shared by several commands.

use lucida::Result;
use lucida::nn::Network;

/// Formats a table with aligned columns, without a trailing newline. A heading that starts with `>` right-aligns its column.
pub(super) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let heads: Vec<String> = headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let cells = cells.iter().zip(headings).zip(&widths).map(|((cell, heading), &width)| {
            if heading.starts_with('>') { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// File name for a layer, without extension: all characters except letters, digits, `-`, `_` and `.` become `_`. The number
/// in front keeps the layers in order, and keeps names distinct that differ only in replaced characters.
pub(super) fn file_name(number: Option<usize>, layer: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = layer.chars().take(80).map(kept).collect();
    match number {
        Some(number) => format!("{number:02}_{name}"),
        None => name.trim_start_matches('.').to_owned(),
    }
}

/// Resolves comma-separated lists of layer names.
pub(super) fn layer_names<'a>(network: &'a Network, lists: &[String]) -> Result<Vec<&'a str>> {
    let found = lists.iter().map(|list| network.find_list(list)).collect::<Result<Vec<_>>>()?;
    Ok(found.concat().into_iter().map(|index| network.nodes()[index].name()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["conv2d".to_owned(), "3".to_owned()], vec!["é".to_owned(), "128".to_owned()]];
        assert_eq!(table(&["layer", ">size"], rows), "layer   size\nconv2d     3\né        128");
    }

    #[test]
    fn names_of_files() {
        assert_eq!(file_name(Some(3), "features/0:conv"), "03_features_0_conv");
        assert_eq!(file_name(None, "../etc"), "_etc");
        assert_eq!(file_name(None, &"x".repeat(500)).len(), 80);
    }
}
