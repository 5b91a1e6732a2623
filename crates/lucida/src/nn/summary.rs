//! A network summary as a table.

use super::{Layer, Network};

/// Keras's table: layer (type), output shape, parameters, connected to; and the totals.
///
/// ```
/// use lucida::prelude::*;
///
/// let network = Sequential::new("small", [4]).add(Dense::new(2)).build(42)?;
/// let table = summary(&network);
/// assert!(table.contains("dense (Dense)") && table.contains("Total params: 10"));
/// # Ok::<(), lucida::Error>(())
/// ```
pub fn summary(network: &Network) -> String {
    let mut rows = vec![["Layer (type)", "Output Shape", "Param #", "Connected to"].map(str::to_owned)];
    for (index, node) in network.nodes().iter().enumerate() {
        let kind = match node.layer() {
            Layer::Input(_) => "InputLayer",
            layer => layer.class_name(),
        };
        let inputs: Vec<_> = node.inputs().iter().map(|&input| network.nodes()[input].name()).collect();
        rows.push([
            format!("{} ({kind})", node.name()),
            node.shape().with_batch(),
            thousands(network.parameters_of(index)),
            inputs.join(", "),
        ]);
    }
    let widths: [usize; 4] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let rule = |left: char, middle: char, right: char, line: char| {
        let cells = widths.map(|width| line.to_string().repeat(width + 2));
        format!("{left}{}{right}\n", cells.join(&middle.to_string()))
    };
    let mut text = format!("Model: \"{}\"\n{}", network.name(), rule('┏', '┳', '┓', '━'));
    for (number, row) in rows.iter().enumerate() {
        let bar = if number == 0 { '┃' } else { '│' };
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            // Numbers are right-aligned, names left.
            let (before, after) = if column == 2 { (pad.as_str(), "") } else { ("", pad.as_str()) };
            line += &format!("{bar} {before}{cell}{after} ");
        }
        text += &format!("{line}{bar}\n");
        let last = number + 1 == rows.len();
        text += &match number {
            0 => rule('┡', '╇', '┩', '━'),
            _ if last => rule('└', '┴', '┘', '─'),
            _ => rule('├', '┼', '┤', '─'),
        };
    }
    let (total, trainable) = network.parameters();
    for (what, count) in [("Total", total), ("Trainable", trainable), ("Non-trainable", total - trainable)] {
        text += &format!(" {what} params: {} ({})\n", thousands(count), size(count));
    }
    text
}

/// A number with thousands separators: `113,514`.
pub fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits are ASCII")).collect();
    groups.join(",")
}

/// The size of `count` 32-bit floats.
fn size(count: usize) -> String {
    let mut size = count as f64 * 4.0;
    for unit in ["B", "KB", "MB"] {
        if size < 1024.0 {
            return format!("{size:.2} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.2} GB")
}

/// A number with a noun: `1 image`, `2,000 images`, `3 classes`.
pub fn counted(count: usize, thing: &str) -> String {
    let ending = match count {
        1 => "",
        _ if thing.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {thing}{ending}", thousands(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_several() {
        let counts = [counted(0, "step"), counted(1, "step"), counted(2000, "step"), counted(2, "class")];
        assert_eq!(counts, ["0 steps", "1 step", "2,000 steps", "2 classes"]);
    }
    use crate::nn::applications;

    #[test]
    fn the_table_of_the_mnist_network() {
        let text = summary(&applications::mnist_cnn(1).unwrap());
        for expected in [
            "Model: \"mnist_cnn\"",
            "│ conv2d_1 (Conv2D)",
            "(None, 14, 14, 48)",
            " 10,416 │",
            "Total params: 113,514 (443.41 KB)",
            "Non-trainable params: 0 (0.00 B)",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing in\n{text}");
        }
        let widths: Vec<_> =
            text.lines().filter(|l| !l.starts_with(' ') && !l.starts_with('M')).map(|l| l.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 12, 123, 1234, 1234567].map(thousands), ["0", "12", "123", "1,234", "1,234,567"]);
    }
}
