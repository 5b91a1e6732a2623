// Alignment of points that come in any rotation and with any signs, as those of a PCA do.

/** Moves points so that their mean is the origin, and scales them so that the farthest one is at distance 1. */
export function normalized(points) {
  const mean = [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
  const centered = points.map(([x, y]) => [x - mean[0], y - mean[1]]);
  const most = Math.max(...centered.map(([x, y]) => Math.hypot(x, y))) || 1;
  return centered.map(([x, y]) => [x / most, y / most]);
}

/**
 * Rotates or reflects centered points so that the sum of the squared distances to those of `reference` is least. This is the
 * orthogonal Procrustes problem (P. Schönemann, 1966), which in two dimensions has a closed form: the angle of the sum of all
 * products, with the reflection or without it, whichever sum is longer.
 */
export function aligned(points, reference) {
  const sums = [1, -1].map((sign) => {
    let [along, across] = [0, 0];
    points.forEach(([x, y], at) => {
      const [u, v] = reference[at];
      along += x * u + sign * y * v;
      across += x * v - sign * y * u;
    });
    return { sign, along, across, length: Math.hypot(along, across) };
  });
  const { sign, along, across, length } = sums[0].length >= sums[1].length ? sums[0] : sums[1];
  const [cos, sin] = length > 0 ? [along / length, across / length] : [1, 0];
  return points.map(([x, y]) => [x * cos - sign * y * sin, x * sin + sign * y * cos]);
}
