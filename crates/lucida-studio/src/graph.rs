//! Layout of a network graph for drawing.
//!
//! A convolution and the layers that only it feeds (normalization, activation, dropout) form one block. Blocks are placed
//! in rows, each below all of its inputs. A wire that spans several rows reserves a place in each of them, so that it runs
//! between blocks and not behind them. Within a row, items are ordered by the mean place of their neighbors, after a few
//! sweeps down and up (Sugiyama, Tagawa and Toda, 1981).

use lucida::nn::{Layer, Network};
use serde::Serialize;

/// Number of sweeps, alternately down and up.
const SWEEPS: usize = 6;

/// Layers that are drawn as one block.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Block {
    /// Indices of its layers.
    pub(crate) layers: Vec<usize>,
    /// Its row, from the top.
    pub(crate) row: usize,
    /// Horizontal position in the row, in block widths from the center.
    pub(crate) place: f64,
}

/// A connection between two blocks: the points that it passes, as (place, row).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) points: Vec<(f64, usize)>,
}

/// Computes the layout of a network.
pub(crate) fn arrange(network: &Network) -> (Vec<Block>, Vec<Edge>) {
    let block_of = blocks_of(network);
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); block_of.iter().max().map_or(0, |last| last + 1)];
    block_of.iter().enumerate().for_each(|(node, &block)| layers[block].push(node));
    let edges = edges_between(network, &block_of);
    let row = rows_of(layers.len(), &edges);
    let (items, routes) = Items::of(&row, &edges);
    let place = items.places();
    let blocks = layers.into_iter().zip(&row).zip(&place);
    let blocks = blocks.map(|((layers, &row), &place)| Block { layers, row, place }).collect();
    let wires = edges.into_iter().zip(routes).map(|((from, to), route)| Edge {
        from,
        to,
        points: route.into_iter().map(|item| (place[item], items.row[item])).collect(),
    });
    (blocks, wires.collect())
}

/// Returns the block index of each node.
fn blocks_of(network: &Network) -> Vec<usize> {
    let nodes = network.nodes();
    let mut users = vec![0; nodes.len()];
    nodes.iter().flat_map(|node| node.inputs()).for_each(|&input| users[input] += 1);
    let mut block_of = Vec::with_capacity(nodes.len());
    let mut blocks = 0;
    for node in nodes {
        let follows = matches!(node.layer(), Layer::Activation(_) | Layer::BatchNormalization(_) | Layer::Dropout(_));
        match node.inputs() {
            &[input] if follows && users[input] == 1 && !nodes[input].inputs().is_empty() => {
                block_of.push(block_of[input]);
            }
            _ => {
                block_of.push(blocks);
                blocks += 1;
            }
        }
    }
    block_of
}

/// Returns the connected pairs of blocks, (from, to), without duplicates.
fn edges_between(network: &Network, block_of: &[usize]) -> Vec<(usize, usize)> {
    let mut edges: Vec<(usize, usize)> = Vec::new();
    for (index, node) in network.nodes().iter().enumerate() {
        for &input in node.inputs() {
            let edge = (block_of[input], block_of[index]);
            if edge.0 != edge.1 && !edges.contains(&edge) {
                edges.push(edge);
            }
        }
    }
    edges
}

/// Returns the row of each block: below all of its inputs.
fn rows_of(blocks: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut row = vec![0; blocks];
    for block in 0..blocks {
        for &(from, _) in edges.iter().filter(|&&(_, to)| to == block) {
            row[block] = row[block].max(row[from] + 1);
        }
    }
    row
}

/// All items with a place: the blocks, then the intermediate points of long wires.
struct Items {
    row: Vec<usize>,
    /// For each item, its neighbors in the row above and in the row below.
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
}

impl Items {
    /// Creates the items for blocks in these rows, and returns the items along each wire.
    fn of(block_rows: &[usize], edges: &[(usize, usize)]) -> (Self, Vec<Vec<usize>>) {
        let mut row = block_rows.to_vec();
        let mut routes: Vec<Vec<usize>> = Vec::new();
        for &(from, to) in edges {
            let mut route = vec![from];
            for between in block_rows[from] + 1..block_rows[to] {
                route.push(row.len());
                row.push(between);
            }
            route.push(to);
            routes.push(route);
        }
        let (mut above, mut below) = (vec![Vec::new(); row.len()], vec![Vec::new(); row.len()]);
        for link in routes.iter().flat_map(|route| route.windows(2)) {
            below[link[0]].push(link[1]);
            above[link[1]].push(link[0]);
        }
        (Self { row, above, below }, routes)
    }

    /// Returns the place of each item in its row, after the sweeps.
    fn places(&self) -> Vec<f64> {
        let rows = self.row.iter().max().map_or(0, |last| last + 1);
        let mut order: Vec<Vec<usize>> = vec![Vec::new(); rows];
        self.row.iter().enumerate().for_each(|(item, &row)| order[row].push(item));
        let mut place = vec![0.0; self.row.len()];
        order.iter().for_each(|row| distribute(row, &mut place));
        for sweep in 0..SWEEPS {
            if sweep % 2 == 0 {
                order.iter_mut().for_each(|row| sort_by_means(row, &self.above, &mut place));
            } else {
                order.iter_mut().rev().for_each(|row| sort_by_means(row, &self.below, &mut place));
            }
        }
        place
    }
}

/// Sorts a row by the mean place of each item's neighbors.
fn sort_by_means(row: &mut Vec<usize>, neighbors: &[Vec<usize>], place: &mut [f64]) {
    let mean = |item: usize| {
        let around = &neighbors[item];
        let sum: f64 = around.iter().map(|&other| place[other]).sum();
        if around.is_empty() { place[item] } else { sum / around.len() as f64 }
    };
    let mut keyed: Vec<(f64, usize)> = row.iter().map(|&item| (mean(item), item)).collect();
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
    *row = keyed.into_iter().map(|(_, item)| item).collect();
    distribute(row, place);
}

/// Spaces the items of a row evenly around the center.
fn distribute(row: &[usize], place: &mut [f64]) {
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
        // Dropout belongs to the block of the dense layer that feeds it.
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
            // No wire runs through a block.
            for &(place, row) in &wire.points[1..wire.points.len() - 1] {
                assert!(!blocks.iter().any(|block| (block.place, block.row) == (place, row)));
            }
        }
        // Inception modules have four branches, or six where two of them split again.
        let widest = blocks.iter().map(|block| block.place).fold(0.0, f64::max);
        assert!((1.5..=3.0).contains(&widest), "{widest}");
    }
}
