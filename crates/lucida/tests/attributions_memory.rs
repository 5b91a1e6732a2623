//! Memory stays constant over a thousand explanations. This is a separate test program because it measures the process.

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_flat() {
    use lucida::explain::{ExplainConfig, Explainer, Method};
    use lucida::nn::layers::{ActivationKind, Conv2D, Dense, Flatten, MaxPooling2D};
    use lucida::nn::{Layer, Network};
    use lucida::weights::Model;

    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    }

    let layers: [Layer; 5] = [
        Conv2D::new(8, [3, 3]).activation(ActivationKind::Relu).into(),
        MaxPooling2D::default().into(),
        Flatten::new().into(),
        Dense::new(16).activation(ActivationKind::Relu).into(),
        Dense::new(4).activation(ActivationKind::Softmax).into(),
    ];
    let model = Model::new(Network::sequential("quick", [24, 24, 1], layers, 1).unwrap());
    let settings = ExplainConfig { masks: 40, samples: 5, patch: Some(6), stride: Some(6), ..ExplainConfig::default() };
    let mut explainer = Explainer::new(&model, &settings).unwrap();
    let mut explain = |number: usize| {
        let input: Vec<f32> = (0..576).map(|i| ((i * 31 + number * 17) % 97) as f32 / 96.0).collect();
        let method = Method::ALL[number % Method::ALL.len()];
        let map = explainer.explain(&input, number % 4, method).unwrap();
        assert!(explainer.faithfulness(&input, &map).unwrap().deletion_area().is_finite());
    };
    (0..60).for_each(&mut explain);
    let before = resident();
    (60..1060).for_each(&mut explain);
    let grown = resident().saturating_sub(before);
    eprintln!("{before} kB, and {grown} kB more after a thousand explanations");
    assert!(grown < 4096, "{grown} kB more after a thousand explanations");
}
