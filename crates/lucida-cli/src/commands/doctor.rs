//! `lucida doctor`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Result;
use lucida::data::free_memory;
use lucida::nn::{Inference, Plan, counted};
use lucida::weights::hub::{Hub, State, all_published, megabytes};
use lucida::weights::{BUILTIN, CLASSIFIER, builtin_vgg16_at};
use lucida::{Cpu, Isa, files};
use serde::Serialize;

use super::Context;
use crate::cli::{Doctor, Global};
use crate::config;
use crate::exit::Reported;
use crate::show::Screen;

/// Output of `--json`.
#[derive(Serialize)]
struct DoctorJson {
    version: &'static str,
    platform: String,
    processor: Option<String>,
    isa: &'static str,
    isas: Vec<&'static str>,
    threads: usize,
    cores: usize,
    peak_gflops: f64,
    /// Maximum difference between the optimized and the scalar kernels for three blocks of VGG16, relative to the largest
    /// output.
    error: f32,
    free_memory_bytes: u64,
    /// The config file, if it exists.
    config: Option<PathBuf>,
    cache: Option<PathBuf>,
    /// Networks whose weights are built in or in the cache, with or without their classifier.
    weights: Vec<LocalWeightsJson>,
    terminal: &'static str,
    /// Problems that make other commands fail.
    problems: Vec<String>,
}

#[derive(Serialize)]
struct LocalWeightsJson {
    network: &'static str,
    with_top: bool,
    #[serde(skip)]
    title: String,
}

/// Rounding differences of float32 sums over a few thousand products, in another order, are far smaller.
const MOST_ERROR: f32 = 1e-3;

pub(super) fn run(arguments: &Doctor, global: &Global) -> Result<()> {
    let (cpu, problems) = Cpu::from_env_as_far_as_valid();
    let context = Context::with_cpu(cpu, global);
    let report = diagnose(context.cpu, problems)?;
    if arguments.json {
        context.output.json(&report)?;
    } else {
        context.output.result(&report.text())?;
    }
    if report.problems.is_empty() { Ok(()) } else { Err(Reported.into()) }
}

/// Collects all facts, and adds further ones to the given `problems`.
fn diagnose(cpu: Cpu, mut problems: Vec<String>) -> Result<DoctorJson> {
    let error = max_error(cpu)?;
    if error.is_nan() || error > MOST_ERROR {
        problems.push(format!("{} computes wrong numbers here; LUCIDA_SIMD=scalar avoids it", cpu.isa().name()));
    }
    problems.extend(config::problem());
    let config = config::path().filter(|path| path.exists());
    let built_in = |network, with_top| LocalWeightsJson { network, with_top, title: format!("{network} (built in)") };
    let (mut cache, mut weights) = (None, vec![built_in(CLASSIFIER, true), built_in(BUILTIN, false)]);
    match Hub::from_env() {
        Ok(hub) => {
            weights.extend(downloaded_weights(&hub, &mut problems));
            problems.extend(unwritable(hub.folder()).map(|why| format!("{why}; LUCIDA_CACHE names another folder")));
            cache = Some(hub.folder().to_path_buf());
        }
        Err(error) => problems.push(error.to_string()),
    }
    problems.extend(env::current_dir().map_or_else(
        |error| Some(format!("the working folder cannot be read: {error}")),
        |folder| unwritable(&folder).map(|why| format!("{why}; --out names another folder for results")),
    ));
    Ok(DoctorJson {
        version: env!("CARGO_PKG_VERSION"),
        platform: format!("{} {}", env::consts::OS, env::consts::ARCH),
        processor: processor(),
        isa: cpu.isa().name(),
        isas: Isa::available().into_iter().map(Isa::name).collect(),
        threads: cpu.threads(),
        cores: Cpu::detect().threads(),
        peak_gflops: cpu.peak() / 1e9,
        error,
        free_memory_bytes: free_memory(),
        config,
        cache,
        weights,
        terminal: match Screen::detect() {
            Some(Screen::Kitty) => "images, by the protocol of kitty",
            Some(Screen::Iterm) => "images, by the protocol of iTerm2",
            Some(Screen::Blocks) => "images as colored blocks",
            None => "not a terminal",
        },
        problems,
    })
}

/// The weights in the cache; unusable files are added to `problems`.
fn downloaded_weights(hub: &Hub, problems: &mut Vec<String>) -> Vec<LocalWeightsJson> {
    let mut found = Vec::new();
    for file in all_published() {
        match hub.state(file) {
            State::Present => {
                found.push(LocalWeightsJson { network: file.network, with_top: file.with_top, title: file.title() });
            }
            State::Foreign(bytes) => problems.push(format!(
                "{} has {bytes} bytes, the published file {}: remove it, then `{}`",
                hub.path(file).display(),
                file.bytes_text(),
                file.command()
            )),
            State::Partial(bytes) => problems.push(format!(
                "only {} of the weights of {} have arrived: `{}` resumes the download",
                megabytes(bytes),
                file.title(),
                file.command()
            )),
            _ => {}
        }
    }
    found
}

/// The reason why a folder, or its nearest existing ancestor, is not writable.
fn unwritable(folder: &Path) -> Option<String> {
    let ancestor = folder.ancestors().find(|folder| folder.exists())?;
    files::check_writable(ancestor).err().map(|error| format!("{} cannot be written to: {error}", ancestor.display()))
}

/// The maximum difference between the built-in network's output and that of the scalar kernels, relative to the largest
/// output.
fn max_error(cpu: Cpu) -> Result<f32> {
    let network = builtin_vgg16_at(32, 32)?.network;
    let scalar = Isa::from_name("scalar").expect("every processor has it");
    let output = |cpu: Cpu| -> Result<Vec<f32>> {
        let image: Vec<f32> = (0..32 * 32 * 3).map(|at| (at * 7919 % 251) as f32 - 125.0).collect();
        Ok(Inference::new(Plan::builder(&network).cpu(cpu))?.run(1, &image)?.flatten().copied().collect())
    };
    let (found, expected) = (output(cpu)?, output(cpu.with_isa(scalar))?);
    let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    // NaN counts as the maximum; `f32::max` would skip it.
    let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    Ok(differences.max_by(f32::total_cmp).unwrap_or(0.0) / largest)
}

/// The name of the processor, if the system provides it.
fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let (_, name) = text.lines().find(|line| line.starts_with("model name"))?.split_once(':')?;
    Some(name.trim().to_owned())
}

impl DoctorJson {
    fn text(&self) -> String {
        let mut text = format!("Lucida {}, {}\n\n", self.version, self.platform);
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<16} {value}");
        };
        line("Processor", self.processor.clone().unwrap_or_else(|| env::consts::ARCH.to_owned()));
        line("Instruction set", format!("{}, of {}", self.isa, self.isas.join(", ")));
        line("Threads", format!("{}, on {}", self.threads, counted(self.cores, "core")));
        line("Peak", format!("{:.0} GFLOP/s", self.peak_gflops));
        line("Convolution", format!("within {:.0e} of the reference", self.error));
        line("Free memory", format!("{:.1} GiB", self.free_memory_bytes as f64 / f64::from(1 << 30)));
        line("Config file", self.config.as_ref().map_or_else(|| "none".to_owned(), |file| file.display().to_string()));
        line("Cache", self.cache.as_ref().map_or_else(|| "none".to_owned(), |folder| folder.display().to_string()));
        let titles: Vec<&str> = self.weights.iter().map(|weights| weights.title.as_str()).collect();
        line("Weights", titles.join(", "));
        line("Terminal", self.terminal.to_owned());
        match self.problems.as_slice() {
            [] => text.push_str("\nNo problems found."),
            problems => problems.iter().for_each(|problem| {
                let _ = write!(text, "\nProblem: {problem}");
            }),
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_computes_as_plain_loops_do() {
        for isa in Isa::available() {
            let error = max_error(Cpu::detect().with_isa(isa)).unwrap();
            assert!(error <= MOST_ERROR, "{}: {error}", isa.name());
            assert!(isa.name() != "scalar" || error == 0.0);
        }
    }
}
