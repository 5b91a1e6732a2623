//! Private.
use std::path::Path;
use lucida::nn::Plan;
use lucida::weights;
fn main() {
    let a: Vec<String> = std::env::args().skip(1).collect();
    // triples MODEL INPUT.f32 OUT.f32 [with batch 2]
    for t in a.chunks(3) {
        let start = std::time::Instant::now();
        let model = match weights::load_model(Path::new(&t[0])) { Ok(m) => m, Err(e) => { println!("ERR {e}"); continue } };
        let s = start.elapsed().as_secs_f64();
        let mut plan = match Plan::builder(&model.network).batch_size(2).build() { Ok(m) => m, Err(e) => { println!("ERR {e}"); continue } };
        let bytes = std::fs::read(&t[1]).unwrap();
        let x: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        if plan.input_mut().len() != x.len() { println!("ERR input {} not {}", plan.input_mut().len(), x.len()); continue }
        plan.input_mut().copy_from_slice(&x);
        plan.forward(&model.network).unwrap();
        let o: Vec<u8> = plan.output(0).iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(&t[2], o).unwrap();
        println!("OK {:.2}s preprocessing {:?}", s, model.preprocessing.is_some());
    }
}
