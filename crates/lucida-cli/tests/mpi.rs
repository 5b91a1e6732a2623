//! Distributed training under `mpirun`: `cargo test -p lucida-cli --features mpi --test mpi`.

#![cfg(feature = "mpi")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lucida::nn::Network;
use lucida::weights;

const LUCIDA: &str = env!("CARGO_BIN_EXE_lucida");
/// 50 steps with dropout; the last step of each epoch has fewer samples.
const TRAINING: &str = "train mnist --epochs 2 --steps-per-epoch 25 --batch-size 420 --validation-steps 2 --force";

fn mpirun(ranks: usize) -> Command {
    let mut command = Command::new("mpirun");
    // Tests run as root in containers, on fewer processors than ranks.
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string(), LUCIDA]);
    command
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

fn run(mut command: Command, arguments: &str, out: &Path) -> Output {
    command.args(words(arguments)).arg("--out").arg(out).env_remove("LUCIDA_THREADS").output().unwrap()
}

fn done(output: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    text
}

fn last(run: &Path) -> Network {
    weights::load_model(run.join("last.safetensors")).unwrap().network
}

/// The relative distance between all weights of two runs.
fn distance(a: &Path, b: &Path) -> f64 {
    let values = |run: &Path| -> Vec<f64> {
        last(run)
            .weights()
            .iter()
            .flat_map(|weight| weight.values().iter().map(|&v| f64::from(v)).collect::<Vec<_>>())
            .collect()
    };
    let (a, b) = (values(a), values(b));
    let norm = |values: Vec<f64>| values.iter().map(|v| v * v).sum::<f64>().sqrt();
    norm(a.iter().zip(&b).map(|(a, b)| a - b).collect()) / norm(b)
}

#[test]
fn ranks_learn_what_one_process_learns() {
    let folder = tempfile::tempdir().unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    let train = |optimizer: &str, ranks: usize, more: &str, name: &str| {
        let out = folder.path().join(name);
        let training = format!("{TRAINING} --optimizer {optimizer} {more}");
        if ranks == 0 {
            done(&run(Command::new(LUCIDA), &training, &out));
            return out;
        }
        let text = done(&run(mpirun(ranks), &format!("{training} --distributed mpi"), &out));
        // All ranks share this host's processors.
        for rank in 0..ranks {
            let expected = format!("rank {rank} of {ranks} on {}: threads {}\n", host(), (cores / ranks).max(1));
            assert!(text.contains(&expected), "{text}");
        }
        assert_eq!(text.matches("Best epoch").count(), 1, "the first rank alone writes: {text}");
        out
    };
    // Momentum makes steps ten times as long eventually, hence the smaller learning rate.
    for (optimizer, rate) in [("nesterov", "--learning-rate 2e-4"), ("sgd", "")] {
        let alone = train(optimizer, 0, rate, "alone");
        for ranks in [1, 2, 4] {
            let distance = distance(&train(optimizer, ranks, rate, "ranks"), &alone);
            assert!(distance < 1e-5, "{optimizer}, {ranks} ranks: {distance:e}");
        }
        if optimizer == "nesterov" {
            // With gradients in 16 bits, the result is nearly the same.
            let distance = distance(&train(optimizer, 2, &format!("{rate} --wire fp16"), "fp16"), &alone);
            assert!(distance > 1e-6 && distance < 1e-2, "{distance:e}");
        }
    }
    // Adam divides small gradients by their own magnitude, which amplifies rounding errors: one process with a different
    // number of threads deviates as much as several ranks do.
    let alone = train("adam", 0, "--threads 1", "alone");
    let other = distance(&train("adam", 0, "--threads 2", "threads"), &alone);
    for ranks in [2, 4] {
        let distance = distance(&train("adam", ranks, "", "ranks"), &alone);
        assert!(distance < 4.0 * other && other < 0.03, "adam, {ranks} ranks: {distance:e}, threads {other:e}");
    }
}

#[test]
fn batch_and_rate_grow_with_the_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let (alone, ranks) = (folder.path().join("alone"), folder.path().join("ranks"));
    // Half of the steps are warm-up. The same samples in the same number of steps, but twice as many at a time.
    let training = "train mnist --epochs 1 --steps-per-epoch 20 --validation-steps 1 --optimizer sgd --warm-up 10";
    done(&run(Command::new(LUCIDA), &format!("{training} --batch-size 200 --learning-rate 0.004"), &alone));
    let scaled = format!("{training} --batch-size 100 --learning-rate 0.002 --distributed mpi");
    done(&run(mpirun(2), &format!("{scaled} --scale-with-ranks"), &ranks));
    let same = distance(&ranks, &alone);
    assert!(same < 1e-5, "scaled: {same:e}");
    done(&run(mpirun(2), &format!("{scaled} --force"), &ranks));
    let other = distance(&ranks, &alone);
    assert!(other > 1e-4, "unscaled: {other:e}");
}

/// Starts a training run that would take minutes.
fn long(out: &Path, more: &str) -> Child {
    let mut command = mpirun(2);
    command.args(words(
        "train mnist --epochs 40 --batch-size 400 --validation-steps 1 --optimizer nesterov --checkpoint-every 1 \
         --distributed mpi",
    ));
    command.args(words(more)).arg("--out").arg(out).env("LUCIDA_MPI_TIMEOUT", "3");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The process id of a rank started by the launcher.
fn process_of(launcher: &Child, rank: usize) -> String {
    let started = Instant::now();
    let mine = |status: &str| status.lines().any(|line| line == format!("PPid:\t{}", launcher.id()));
    while started.elapsed() < Duration::from_secs(60) {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let path = entry.path();
            let is_rank = |environment: Vec<u8>| {
                let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
                environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
            };
            if fs::read_to_string(path.join("status")).is_ok_and(|status| mine(&status))
                && fs::read(path.join("environ")).is_ok_and(is_rank)
            {
                return entry.file_name().into_string().unwrap();
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no process of rank {rank}");
}

fn wait_for(file: &Path) {
    let started = Instant::now();
    while !file.exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "{} does not appear", file.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(process: &str, signal: &str) {
    assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

#[test]
fn a_rank_that_dies_or_falls_silent_ends_the_job_which_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    for (kind, expected) in [("-KILL", "process rank 1"), ("-STOP", "from rank 1 on ")] {
        let job = long(&out, if kind == "-KILL" { "--force" } else { "--resume" });
        let process = process_of(&job, 1);
        wait_for(&out.join("checkpoint.safetensors"));
        // Wait until it is in the middle of its steps.
        std::thread::sleep(Duration::from_millis(500));
        let started = Instant::now();
        signal(&process, kind);
        let output = job.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(expected) && text.contains(&host()), "{kind}: {text}");
        assert!(started.elapsed() < Duration::from_secs(15), "{kind}: {:?}", started.elapsed());
    }
    // Three ranks, and one, resume the run of two ranks until the end of the epoch.
    let checkpoint = out.join("checkpoint.safetensors");
    let kept = folder.path().join("kept");
    fs::copy(&checkpoint, &kept).unwrap();
    let rest = "train mnist --epochs 1 --batch-size 400 --validation-steps 1 --optimizer nesterov --resume";
    for (ranks, path) in [(1, "one"), (3, "three")] {
        let path = folder.path().join(path);
        fs::create_dir(&path).unwrap();
        fs::copy(&kept, path.join("checkpoint.safetensors")).unwrap();
        let command = if ranks == 1 { Command::new(LUCIDA) } else { mpirun(ranks) };
        let more = if ranks == 1 { "" } else { " --distributed mpi" };
        done(&run(command, &format!("{rest}{more}"), &path));
    }
    let distance = distance(&folder.path().join("three"), &folder.path().join("one"));
    assert!(distance < 1e-5, "{distance:e}");
}

#[test]
fn a_rank_that_fails_says_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let training = "train mnist --epochs 1 --steps-per-epoch 1 --distributed mpi";
    let out = folder.path().join("run");
    done(&run(mpirun(2), training, &out));
    // The run already exists.
    let output = run(mpirun(2), training, &out);
    let text = String::from_utf8_lossy(&output.stderr);
    let expected = format!("error: rank 0 of 2 on {}: ", host());
    assert!(!output.status.success() && text.contains(&expected) && text.contains("--force"), "{text}");
}
