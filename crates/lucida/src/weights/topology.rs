//! Topological sorting.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A topological order: each part comes after its dependencies; if several can be next, the first one is chosen, so that a
/// sorted list keeps its order. `dependencies[i]` are the dependencies of part `i`.
///
/// # Errors
/// The parts of a cycle, each of which depends on the previous one, and the first on the last.
pub(super) fn topological_order(dependencies: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut users = vec![Vec::new(); dependencies.len()];
    let mut missing: Vec<usize> = dependencies.iter().map(Vec::len).collect();
    for (part, takes) in dependencies.iter().enumerate() {
        takes.iter().for_each(|&taken| users[taken].push(part));
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..missing.len()).filter(|&part| missing[part] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(dependencies.len());
    while let Some(Reverse(part)) = ready.pop() {
        order.push(part);
        for &user in &users[part] {
            missing[user] -= 1;
            if missing[user] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    if order.len() == dependencies.len() { Ok(order) } else { Err(cycle(dependencies, &missing)) }
}

/// Finds a cycle among the parts with missing dependencies: follows missing dependencies from any of them, until a part
/// repeats.
fn cycle(dependencies: &[Vec<usize>], missing: &[usize]) -> Vec<usize> {
    let mut path = Vec::new();
    let mut position = vec![None; dependencies.len()];
    let mut next = missing.iter().position(|&missing| missing > 0);
    while let Some(part) = next {
        if let Some(start) = position[part] {
            let mut cycle = path.split_off(start);
            cycle.reverse();
            return cycle;
        }
        position[part] = Some(path.len());
        path.push(part);
        next = dependencies[part].iter().copied().find(|&taken| missing[taken] > 0);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_after_what_they_take() {
        assert_eq!(topological_order(&[vec![], vec![0], vec![1, 0, 0], vec![]]), Ok(vec![0, 1, 2, 3]));
        assert_eq!(topological_order(&[vec![1], vec![2], vec![], vec![0]]), Ok(vec![2, 1, 0, 3]));
        assert_eq!(topological_order(&[]), Ok(vec![]));
    }

    #[test]
    fn only_a_cycle_is_refused() {
        // 1 leads into the cycle of 2, 3 and 4, and 5 depends on it.
        let parts = [vec![], vec![2], vec![0, 4], vec![2], vec![3], vec![4]];
        assert_eq!(topological_order(&parts), Err(vec![3, 4, 2]));
        assert_eq!(topological_order(&[vec![0]]), Err(vec![0]));
    }
}
