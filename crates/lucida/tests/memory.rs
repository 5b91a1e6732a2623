//! Cost of loading a model, measured in a separate process: time, and memory in addition to the weights.
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use common::shared;
use lucida::nn::applications::{self, Options};
use lucida::weights;

/// Number of loads: the fastest counts, since the machine may be busy.
const LOADS: usize = 5;
/// Environment variable for the child process that loads: the file.
const CHILD: &str = "LUCIDA_TEST_LOAD";

/// Peak memory of this process so far, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
}

#[test]
fn vgg16_loads_in_little_more_memory_than_it_needs() {
    if let Ok(file) = std::env::var(CHILD) {
        let before = peak();
        let load = |_| {
            let start = Instant::now();
            let mut network = applications::find("vgg16").unwrap().build(&Options::without_top()).unwrap();
            weights::load_weights(Path::new(&file), &mut network).unwrap();
            let taken = start.elapsed().as_secs_f64();
            assert!(network.weights().iter().all(|weight| weight.values().iter().any(|&value| value != 0.0)));
            taken
        };
        let taken = (0..LOADS).map(load).fold(f64::INFINITY, f64::min);
        println!("{CHILD} {} {taken}", peak() - before);
        return;
    }
    let Some(file) = shared("data/weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5") else { return };
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "vgg16_loads_in_little_more_memory_than_it_needs", "--nocapture"])
        .env(CHILD, &file)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    // The test harness may print before it on the same line.
    let (_, told) = text.split_once(&format!("{CHILD} ")).unwrap_or_else(|| panic!("{text}"));
    let mut told = told.split_whitespace();
    let memory: u64 = told.next().unwrap().parse().unwrap();
    let seconds: f64 = told.next().unwrap().parse().unwrap();
    let size = file.metadata().unwrap().len();
    eprintln!("{memory} bytes of memory for {size} bytes of file, {seconds:.3} s at best");
    assert!(memory * 10 <= size * 13, "{memory} bytes of memory for {size} bytes of file");
    assert!(seconds < if cfg!(debug_assertions) { 20.0 } else { 0.5 }, "{seconds} s");
}
