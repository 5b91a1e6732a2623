//! A quadtree: distant points act as groups (Barnes-Hut).

/// The maximum depth; points in the same smallest square count as coincident.
const DEPTH: usize = 40;

/// A square and the points in it.
#[derive(Debug, Clone)]
struct Square {
    side: f64,
    /// The mean of its points.
    middle: [f64; 2],
    /// The range of its points in tree order.
    start: u32,
    end: u32,
    /// The indices of nonempty quarters; 0 for none, because the root is not a quarter.
    quarters: [u32; 4],
}

/// A quadtree over all points.
#[derive(Debug)]
pub(super) struct Tree {
    squares: Vec<Square>,
    points: Vec<[f64; 2]>,
    /// The position of each point in tree order.
    places: Vec<u32>,
}

impl Tree {
    pub(super) fn of(points: &[[f64; 2]]) -> Self {
        let bounds = |axis: usize| {
            points
                .iter()
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| (low.min(p[axis]), high.max(p[axis])))
        };
        let ((left, right), (top, bottom)) = (bounds(0), bounds(1));
        let side = (right - left).max(bottom - top).max(f64::MIN_POSITIVE);
        let mut order: Vec<u32> = (0..points.len() as u32).collect();
        let mut squares = Vec::with_capacity(2 * points.len());
        divide(points, &mut order, 0, [left, top], side, DEPTH, &mut squares);
        let mut places = vec![0; points.len()];
        for (place, &index) in order.iter().enumerate() {
            places[index as usize] = place as u32;
        }
        Self { squares, points: points.to_vec(), places }
    }

    /// The repulsion of a point by all others, and the sum of the kernel weights. A square whose apparent size from the
    /// point is below `theta` acts as its center of mass.
    pub(super) fn repulsion(&self, index: usize, theta: f64) -> ([f64; 2], f64) {
        let [x, y] = self.points[index];
        let place = self.places[index];
        let (mut sum, mut whole) = ([0.0; 2], 0.0);
        let mut waiting = [0_u32; 4 * DEPTH + 4];
        let mut count = 1;
        while count > 0 {
            count -= 1;
            let square = &self.squares[waiting[count] as usize];
            let (dx, dy) = (x - square.middle[0], y - square.middle[1]);
            let distance = dx * dx + dy * dy;
            let is_leaf = square.quarters == [0; 4];
            if is_leaf || square.side * square.side < theta * theta * distance {
                let mut bodies = f64::from(square.end - square.start);
                if is_leaf && (square.start..square.end).contains(&place) {
                    bodies -= 1.0;
                }
                let weight = 1.0 / (1.0 + distance);
                whole += bodies * weight;
                sum[0] += bodies * weight * weight * dx;
                sum[1] += bodies * weight * weight * dy;
            } else {
                for &quarter in square.quarters.iter().filter(|&&quarter| quarter != 0) {
                    waiting[count] = quarter;
                    count += 1;
                }
            }
        }
        (sum, whole)
    }
}

/// Builds the square of some points and its children, and returns its index.
fn divide(
    points: &[[f64; 2]],
    order: &mut [u32],
    start: u32,
    corner: [f64; 2],
    side: f64,
    depth: usize,
    squares: &mut Vec<Square>,
) -> u32 {
    let number = squares.len() as u32;
    let mean = |axis: usize| order.iter().map(|&i| points[i as usize][axis]).sum::<f64>() / order.len() as f64;
    let end = start + order.len() as u32;
    squares.push(Square { side, middle: [mean(0), mean(1)], start, end, quarters: [0; 4] });
    let first = points[order[0] as usize];
    if order.len() == 1 || depth == 1 || order.iter().all(|&i| points[i as usize] == first) {
        return number;
    }
    let half = side / 2.0;
    let middle = [corner[0] + half, corner[1] + half];
    let quarter_of = |index: u32| {
        let [x, y] = points[index as usize];
        usize::from(x >= middle[0]) + 2 * usize::from(y >= middle[1])
    };
    // Stable, so that the tree order is deterministic.
    order.sort_by_key(|&index| quarter_of(index));
    let mut rest = order;
    let mut begin = start;
    for quarter in 0..4 {
        let len = rest.iter().take_while(|&&index| quarter_of(index) == quarter).count();
        if len == 0 {
            continue;
        }
        let (part, others) = rest.split_at_mut(len);
        let corner = [corner[0] + half * (quarter % 2) as f64, corner[1] + half * (quarter / 2) as f64];
        squares[number as usize].quarters[quarter] = divide(points, part, begin, corner, half, depth - 1, squares);
        begin += len as u32;
        rest = others;
    }
    number
}
