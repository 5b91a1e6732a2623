//! Checks that the examples `mechanics` and `mechanics_backward` match the chapter that explains them.

#[path = "../examples/mechanics_backward.rs"]
mod backward;
use backward::mechanics;

const CHAPTER: &str = include_str!("../../../docs/mechanics.md");

/// The steps in the order of the chapter.
fn steps() -> Vec<String> {
    let mut steps = mechanics::steps().unwrap();
    steps.insert(3, backward::gradients().unwrap());
    steps
}

#[test]
fn the_chapter_shows_what_the_layers_compute() {
    let steps = steps();
    assert_eq!(steps.len(), 5);
    for step in &steps {
        assert!(CHAPTER.contains(&format!("```text\n{step}\n```")), "not in docs/mechanics.md:\n{step}");
    }
}

#[test]
fn the_steps_are_those_worked_out_by_hand() {
    let steps = steps();
    let has = |step: usize, rows: &[&str]| {
        let lines: Vec<String> =
            steps[step].lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert!(lines.windows(rows.len()).any(|window| window == rows), "{rows:?} in {}", steps[step]);
    };
    has(0, &["O", "5 4", "2 1"]);
    has(1, &["L = 3.5"]);
    has(1, &["dL/dO", "1 1", "-2 1"]);
    has(2, &["dL/dF = X * dL/dO", "-2 2", "5 5", "", "dL/db = 1"]);
    has(3, &["dL/dX = dL/dO padded * F rotated", "1 0 -1", "0 5 -1", "-4 2 0"]);
    has(4, &["F after the step", "1.1 -1.1", "1.75 -0.25", "", "L = 2.376 (before: 3.5)"]);
}
