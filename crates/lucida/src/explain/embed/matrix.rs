//! Linear algebra for PCA: tall matrices in row-major order, in double precision.

use std::sync::{Mutex, PoisonError};

use crate::Cpu;

/// Rows per chunk, whatever the number of threads, so that sums do not depend on it.
const ROWS: usize = 256;

/// Processes the rows `0..count` in chunks on several threads; the results are in order.
pub(super) fn by_parts<T: Send>(cpu: Cpu, count: usize, part: impl Fn(std::ops::Range<usize>) -> T + Sync) -> Vec<T> {
    let parts = count.div_ceil(ROWS);
    let results: Vec<Mutex<Option<T>>> = (0..parts).map(|_| Mutex::new(None)).collect();
    cpu.parallel_for(parts, |_, index| {
        let result = part(index * ROWS..((index + 1) * ROWS).min(count));
        *results[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    results.into_iter().filter_map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

/// Orthonormalizes the columns of a matrix of `columns` columns (Gram-Schmidt, twice for numerical stability). A column
/// that depends on the previous ones becomes zero.
pub(super) fn orthonormalize(matrix: &mut [f64], columns: usize) {
    let rows = matrix.len() / columns.max(1);
    let dot =
        |m: &[f64], a: usize, b: usize| (0..rows).map(|row| m[row * columns + a] * m[row * columns + b]).sum::<f64>();
    for column in 0..columns {
        let before = dot(matrix, column, column).sqrt();
        for _ in 0..2 {
            for other in 0..column {
                let along = dot(matrix, other, column);
                (0..rows).for_each(|row| matrix[row * columns + column] -= along * matrix[row * columns + other]);
            }
        }
        let length = dot(matrix, column, column).sqrt();
        let scale = if length > 1e-10 * before { 1.0 / length } else { 0.0 };
        (0..rows).for_each(|row| matrix[row * columns + column] *= scale);
    }
}

/// The eigenvalues of a symmetric matrix of `size` rows, largest first, and its eigenvectors as columns, by Jacobi
/// rotations.
pub(super) fn eigen(matrix: &[f64], size: usize) -> (Vec<f64>, Vec<f64>) {
    let mut a = matrix.to_vec();
    let mut v: Vec<f64> = (0..size * size).map(|i| if i % (size + 1) == 0 { 1.0 } else { 0.0 }).collect();
    let scale = a.iter().map(|value| value * value).sum::<f64>();
    for _ in 0..60 {
        let off_diagonal: f64 =
            (0..size).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * size + j].powi(2)).sum();
        if off_diagonal <= 1e-28 * scale {
            break;
        }
        for p in 0..size {
            for q in p + 1..size {
                rotate(&mut a, &mut v, size, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&i, &j| a[j * size + j].total_cmp(&a[i * size + i]).then(i.cmp(&j)));
    let values = order.iter().map(|&i| a[i * size + i]).collect();
    let vectors =
        (0..size).flat_map(|row| order.iter().map(|&column| v[row * size + column]).collect::<Vec<_>>()).collect();
    (values, vectors)
}

fn rotate(a: &mut [f64], v: &mut [f64], size: usize, p: usize, q: usize) {
    let entry = a[p * size + q];
    if entry == 0.0 {
        return;
    }
    let theta = (a[q * size + q] - a[p * size + p]) / (2.0 * entry);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cos = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sin = tangent * cos;
    let turn = |m: &mut [f64], first: usize, second: usize| {
        let (x, y) = (m[first], m[second]);
        m[first] = cos * x - sin * y;
        m[second] = sin * x + cos * y;
    };
    for k in 0..size {
        turn(a, k * size + p, k * size + q);
    }
    for k in 0..size {
        turn(a, p * size + k, q * size + k);
        turn(v, k * size + p, k * size + q);
    }
}
