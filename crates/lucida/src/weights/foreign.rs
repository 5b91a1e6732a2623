//! Detects what a graph has beyond convolutional networks, for the error when it cannot be imported: recurrent layers and
//! attention consist of operators whose own errors do not mention them.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crate::Error;
use std::path::Path;

/// An operator of a graph, with its input and output tensors.
pub(super) struct Step<'a, T> {
    pub(super) kind: &'a str,
    pub(super) inputs: Vec<T>,
    pub(super) outputs: Vec<T>,
}

/// Operators that may lie between a softmax and a product.
const BETWEEN: &[&str] = &[
    "add",
    "cast",
    "clip",
    "div",
    "dropout",
    "identity",
    "maximum",
    "max",
    "mul",
    "reshape",
    "squeeze",
    "sub",
    "transpose",
    "unsqueeze",
    "where",
    "expanddims",
];

/// An operator's name, normalized for ONNX and LiteRT: `MatMul` and `BATCH_MATMUL`.
fn plain(kind: &str) -> String {
    kind.to_lowercase().replace('_', "")
}

/// A feature of the graph with these inputs that convolutional networks do not have.
pub(super) fn foreign<T: Eq + Hash + Copy>(steps: &[Step<T>], inputs: impl IntoIterator<Item = T>) -> Option<String> {
    let recurrent = |step: &&Step<T>| {
        let kind = plain(step.kind);
        matches!(kind.as_str(), "lstm" | "gru" | "rnn")
            || kind.starts_with("unidirectional")
            || kind.starts_with("bidirectional")
    };
    if let Some(step) = steps.iter().find(recurrent) {
        return Some(format!("has a recurrent layer ({})", step.kind));
    }
    let attends = |step: &&Step<T>| plain(step.kind).ends_with("attention");
    if let Some(step) = steps.iter().find(attends) {
        return Some(format!("has attention ({})", step.kind));
    }
    if softmax_between_products(steps, inputs) {
        return Some("has attention (a softmax between two products of computed tensors)".into());
    }
    let looped = steps.iter().find(|step| plain(step.kind) == "while");
    looped.map(|_| "has a loop (WHILE), as the recurrent layers LSTM and GRU are converted to".into())
}

fn softmax_between_products<T: Eq + Hash + Copy>(steps: &[Step<T>], inputs: impl IntoIterator<Item = T>) -> bool {
    let mut computed: HashSet<T> = inputs.into_iter().collect();
    let (mut makers, mut takers) = (HashMap::new(), HashMap::<T, Vec<usize>>::new());
    for (place, step) in steps.iter().enumerate() {
        if plain(step.kind) != "shape" && step.inputs.iter().any(|input| computed.contains(input)) {
            computed.extend(&step.outputs);
        }
        makers.extend(step.outputs.iter().map(|&output| (output, place)));
        step.inputs.iter().for_each(|&input| takers.entry(input).or_default().push(place));
    }
    let is_product = |place: usize| {
        let step = &steps[place];
        matches!(plain(step.kind).as_str(), "matmul" | "batchmatmul" | "einsum" | "gemm")
            && step.inputs.iter().filter(|input| computed.contains(input)).count() > 1
    };
    let reaches = |start: usize, next: &dyn Fn(usize) -> Vec<usize>| {
        let mut seen = HashSet::from([start]);
        let mut open = next(start);
        while let Some(place) = open.pop() {
            if is_product(place) {
                return true;
            }
            if seen.insert(place) && BETWEEN.contains(&plain(steps[place].kind).as_str()) {
                open.extend(next(place));
            }
        }
        false
    };
    let before = |place: usize| steps[place].inputs.iter().filter_map(|input| makers.get(input).copied()).collect();
    let after =
        |place: usize| steps[place].outputs.iter().filter_map(|output| takers.get(output)).flatten().copied().collect();
    let softmax = (0..steps.len()).filter(|&place| plain(steps[place].kind) == "softmax");
    softmax.into_iter().any(|place| reaches(place, &before) && reaches(place, &after))
}

/// The error of an import, preceded by such a feature if there is one.
pub(super) fn explained(path: &Path, problem: Error, found: impl FnOnce() -> Option<String>) -> Error {
    if !matches!(problem, Error::Unsupported(_) | Error::File { .. }) {
        return problem;
    }
    let Some(what) = found() else { return problem };
    let (path, text) = (path.display().to_string(), problem.to_string());
    let text = text.strip_prefix(&format!("{path}: ")).unwrap_or(&text);
    Error::Unsupported(format!(
        "{path}: {what}; Lucida takes convolutional networks, and this one has parts that it lacks: {text}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(steps: &[(&'static str, &[u32], u32)]) -> Option<String> {
        let step = |&(kind, inputs, output): &(&'static str, &[u32], u32)| Step {
            kind,
            inputs: inputs.to_vec(),
            outputs: vec![output],
        };
        foreign(&steps.iter().map(step).collect::<Vec<_>>(), [0])
    }

    #[test]
    fn recurrent_layers_and_attention_are_found() {
        assert!(of(&[("LSTM", &[0, 9], 1)]).unwrap().contains("recurrent layer (LSTM)"));
        assert!(of(&[("UNIDIRECTIONAL_SEQUENCE_LSTM", &[0, 9], 1)]).is_some());
        assert!(of(&[("WHILE", &[0], 1)]).unwrap().contains("LSTM"));
        let attention: &[(&str, &[u32], u32)] = &[
            ("Transpose", &[0], 1),
            ("MatMul", &[0, 1], 2),
            ("Div", &[2, 9], 3),
            ("Softmax", &[3], 4),
            ("Cast", &[4], 5),
            ("MatMul", &[5, 0], 6),
        ];
        assert!(of(attention).unwrap().contains("attention"));
        // A classifier, and a graph whose products have constant weights.
        assert_eq!(of(&[("MatMul", &[0, 9], 1), ("Softmax", &[1], 2)]), None);
        assert_eq!(of(&[("MatMul", &[0, 9], 1), ("Softmax", &[1], 2), ("MatMul", &[2, 8], 3)]), None);
    }

    #[test]
    fn the_message_says_it_before_the_operator() {
        let path = Path::new("m.onnx");
        let problem = Error::Unsupported("m.onnx: node \"x\" (Y): is odd".into());
        let text = explained(path, problem, || Some("has a recurrent layer (GRU)".into())).to_string();
        assert!(text.starts_with("m.onnx: has a recurrent layer (GRU); Lucida takes convolutional"), "{text}");
        assert!(text.ends_with("node \"x\" (Y): is odd"), "{text}");
    }
}
