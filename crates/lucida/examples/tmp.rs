//! tmp
use lucida::{Cpu, data::*, nn::*, train::*, weights::Model};
fn main() {
    let digits = Mnist::builtin().unwrap().train;
    let test = Mnist::test_only(std::path::Path::new("/work/shared/data/mnist")).unwrap();
    for (epochs, batch, rate, val) in [(20, 128, 2e-3, 0.1), (20, 64, 1e-3, 0.1), (12, 64, 2e-3, 0.1), (20, 64, 3e-3, 0.1), (20,128,4e-3,0.1)] {
        for seed in [1, 2, 42] {
            let labels = digits.labels();
            let outer = stratified_split(&labels, 10, 0.2, seed).unwrap();
            let rest: Vec<usize> = outer.train.iter().map(|&i| labels[i]).collect();
            let inner = stratified_split(&rest, 10, val, seed).unwrap();
            let pick = |c: &[usize]| c.iter().map(|&i| outer.train[i]).collect::<Vec<_>>();
            let train = Subset::new(&digits, pick(&inner.train)).unwrap();
            let validation = Subset::new(&digits, pick(&inner.validation)).unwrap();
            let held = Subset::new(&digits, outer.validation.clone()).unwrap();
            let steps = epochs * train.len().div_ceil(batch);
            let s = Settings { epochs, batch_size: batch, schedule: Schedule::cosine(rate, steps as u64), optimizer: Optimizer::adam(), seed, cpu: Cpu::detect() };
            let mut m = Model { preprocessing: Some(Preprocessing::mnist()), class_names: digits.class_names().to_vec(), ..Model::new(zoo::mnist_cnn(seed).unwrap()) };
            let t = std::time::Instant::now();
            let f = fit(&mut m, &train, Some(&validation), &s, &mut Silent).unwrap();
            let secs = t.elapsed().as_secs_f64();
            let best = |m: &Model| (evaluate(m, &held, s.cpu).unwrap().accuracy, evaluate(m, &test, s.cpu).unwrap().accuracy);
            let b = best(&m);
            let l = best(&Model { network: f.last.clone(), ..m.clone() });
            println!("{epochs} {batch} {rate} seed {seed}: best ep {:?} held {:.4} test {:.4}  last held {:.4} test {:.4}  {secs:.1}s", f.best_epoch, b.0, b.1, l.0, l.1);
        }
    }
}
