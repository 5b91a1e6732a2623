//! Private.
use std::path::Path;
fn hwm() -> (f64, f64) { let s = std::fs::read_to_string("/proc/self/status").unwrap(); let g = |k: &str| s.lines().find(|l| l.starts_with(k)).unwrap().split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0; (g("VmHWM:"), g("RssAnon:")) }
fn main() {
    let a: Vec<String> = std::env::args().skip(1).collect();
    let size = std::fs::metadata(&a[0]).unwrap().len() as f64 / 1048576.0;
    let b = hwm();
    let t = std::time::Instant::now();
    if let Some(n) = a.get(1) {
        let known = lucida::nn::zoo::find(n).unwrap();
        let top = a.get(2).is_some();
        let o = if top { Default::default() } else { lucida::nn::zoo::Options::without_top() };
        let mut net = known.build(&o).unwrap();
        lucida::weights::load_weights(Path::new(&a[0]), &mut net).unwrap();
        let s = t.elapsed().as_secs_f64(); let e = hwm();
        println!("{} {size:.1} MiB: {s:.3} s, peak +{:.1} MiB = {:.2} x, anon +{:.1}", net.name(), e.0 - b.0, (e.0 - b.0) / size, e.1 - b.1);
    } else {
        let m = lucida::weights::load_model(Path::new(&a[0])).unwrap();
        let s = t.elapsed().as_secs_f64(); let e = hwm();
        println!("{} {size:.1} MiB: {s:.3} s, peak +{:.1} MiB = {:.2} x, anon +{:.1}", m.network.name(), e.0 - b.0, (e.0 - b.0) / size, e.1 - b.1);
    }
}
