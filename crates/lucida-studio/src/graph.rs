//! Where the layers of a network lie in its drawing.
//!
//! A convolution and what only it feeds (its normalization, its activation, dropout) are one block. Blocks lie in rows, each
//! below all that it takes from; a wire that passes rows keeps a place in each of them, so that it runs between blocks and
//! not behind them. Within a row the order is that of the means of what they are connected to, after a few sweeps down and
//! up (Sugiyama, Tagawa and Toda, 1981).

use lucida::nn::{Layer, Network};
use serde::Serialize;

/// Sweeps down and up.
const SWEEPS: usize = 6;

/// Layers that are drawn as one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Block {
    /// The numbers of its layers.
    pub(crate) layers: Vec<usize>,
    /// Its row, from the top.
    pub(crate) row: usize,
    /// Its place in the row, in widths of a block from the middle.
    pub(crate) place: f64,
}

/// A wire: where it passes, from block to block, as (place, row).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Wire {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) points: Vec<(f64, usize)>,
}

/// The drawing of a network.
pub(crate) fn arrange(network: &Network) -> (Vec<Block>, Vec<Wire>) {
    let nodes = network.nodes();
    let mut users = vec![0; nodes.len()];
    nodes.iter().flat_map(|node| node.inputs()).for_each(|&input| users[input] += 1);
    let mut of_node = vec![0; nodes.len()];
    let mut layers: Vec<Vec<usize>> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let follows = matches!(node.layer(), Layer::Activation(_) | Layer::BatchNormalization(_) | Layer::Dropout(_));
        match node.inputs() {
            &[input] if follows && users[input] == 1 && !nodes[input].inputs().is_empty() => {
                of_node[index] = of_node[input];
                layers[of_node[input]].push(index);
            }
            _ => {
                of_node[index] = layers.len();
                layers.push(vec![index]);
            }
        }
    }
    let mut edges: Vec<(usize, usize)> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        for &input in node.inputs() {
            let edge = (of_node[input], of_node[index]);
            if edge.0 != edge.1 && !edges.contains(&edge) {
                edges.push(edge);
            }
        }
    }
    let mut row = vec![0; layers.len()];
    for block in 0..layers.len() {
        for &(from, _) in edges.iter().filter(|&&(_, to)| to == block) {
            row[block] = row[block].max(row[from] + 1);
        }
    }

    // Everything that has a place: blocks first, then the points of long wires.
    let mut at_row = row.clone();
    let mut links: Vec<(usize, usize)> = Vec::new();
    let mut ways: Vec<Vec<usize>> = Vec::new();
    for &(from, to) in &edges {
        let mut way = vec![from];
        for between in row[from] + 1..row[to] {
            way.push(at_row.len());
            at_row.push(between);
        }
        way.push(to);
        links.extend(way.windows(2).map(|pair| (pair[0], pair[1])));
        ways.push(way);
    }
    let rows = at_row.iter().max().map_or(0, |last| last + 1);
    let mut order: Vec<Vec<usize>> = vec![Vec::new(); rows];
    (0..at_row.len()).for_each(|item| order[at_row[item]].push(item));
    let mut place = vec![0.0; at_row.len()];
    order.iter().for_each(|row| spread(row, &mut place));
    let (mut above, mut below) = (vec![Vec::new(); at_row.len()], vec![Vec::new(); at_row.len()]);
    for &(from, to) in &links {
        below[from].push(to);
        above[to].push(from);
    }
    for sweep in 0..SWEEPS {
        let (neighbours, down) = if sweep % 2 == 0 { (&above, true) } else { (&below, false) };
        for at in 0..rows {
            let row = &mut order[if down { at } else { rows - 1 - at }];
            let mean = |item: usize| {
                let around: &Vec<usize> = &neighbours[item];
                let sum: f64 = around.iter().map(|&other| place[other]).sum();
                if around.is_empty() { place[item] } else { sum / around.len() as f64 }
            };
            let mut keyed: Vec<(f64, usize)> = row.iter().map(|&item| (mean(item), item)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            *row = keyed.into_iter().map(|(_, item)| item).collect();
            spread(row, &mut place);
        }
    }
    let blocks = layers.into_iter().zip(&row).zip(&place);
    let blocks = blocks.map(|((layers, &row), &place)| Block { layers, row, place }).collect();
    let wires = edges.into_iter().zip(ways).map(|((from, to), way)| Wire {
        from,
        to,
        points: way.into_iter().map(|item| (place[item], at_row[item])).collect(),
    });
    (blocks, wires.collect())
}

/// Puts the items of a row side by side around the middle.
fn spread(row: &[usize], place: &mut [f64]) {
    let middle = (row.len() as f64 - 1.0) / 2.0;
    row.iter().enumerate().for_each(|(at, &item)| place[item] = at as f64 - middle);
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucida::nn::applications::{self, Options};

    #[test]
    fn a_chain_is_a_column_and_branches_lie_side_by_side() {
        let (blocks, wires) = arrange(&applications::mnist_cnn(1).unwrap());
        assert!(blocks.iter().all(|block| block.place == 0.0));
        assert_eq!(wires.len(), blocks.len() - 1);
        // Dropout lies with the dense layer that feeds it.
        assert_eq!(blocks.iter().map(|block| block.layers.len()).max(), Some(2));

        let network = applications::find("inception-v3").unwrap().build(&Options::default()).unwrap();
        let (blocks, wires) = arrange(&network);
        assert_eq!(blocks.iter().map(|block| block.layers.len()).sum::<usize>(), network.nodes().len());
        for (index, block) in blocks.iter().enumerate() {
            let same_place = |other: &&Block| (other.row, other.place) == (block.row, block.place);
            assert_eq!(blocks.iter().filter(same_place).count(), 1, "block {index}");
        }
        for wire in &wires {
            assert!(blocks[wire.from].row < blocks[wire.to].row);
            assert_eq!(wire.points.len(), blocks[wire.to].row - blocks[wire.from].row + 1);
            // No wire runs through a block on its way.
            for &(place, row) in &wire.points[1..wire.points.len() - 1] {
                assert!(!blocks.iter().any(|block| (block.place, block.row) == (place, row)));
            }
        }
        // Four branches, or six where two of them part again.
        let widest = blocks.iter().map(|block| block.place).fold(0.0, f64::max);
        assert!((1.5..=3.0).contains(&widest), "{widest}");
    }
}
