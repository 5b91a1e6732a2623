//! Training options shared by all data sets.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use lucida::data::Dataset;
use lucida::files;
use lucida::nn::{Network, Optimizer, ProcessGroup, Schedule, counted, thousands};
use lucida::train::{
    Callback, Checkpoint, EarlyStopping, History, ReduceLrOnPlateau, RunFolder, Samples, TensorBoard, TrainConfig,
    Trainer, balanced_class_weights,
};
use lucida::weights::{Model, load_model};
use serde_json::Value;

use super::super::{Context, shell_word};
use crate::arguments::ClassWeights;
use crate::cli::place::{first_free, numbered};
use crate::cli::{OptimizerName, ScheduleName, TrainingArguments};
use crate::dashboard::{Board, Dashboard};
use crate::exit::Usage;
use crate::progress::TrainingBar;

/// Defaults for options that are not given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    pub(super) epochs: u32,
    pub(super) learning_rate: f64,
    /// Patience in epochs; 0 disables early stopping.
    pub(super) early_stopping: u32,
}

impl Defaults {
    /// For a fully trainable network.
    pub(super) const WHOLE: Self = Self { epochs: 15, learning_rate: 1e-3, early_stopping: 0 };
    /// For a head on a frozen base, whose epochs are very cheap; measurements are in `docs/photos.md`.
    pub(super) const HEAD: Self = Self { epochs: 50, learning_rate: 3e-4, early_stopping: 5 };
}

/// A training run as requested on the command line.
pub(super) struct TrainRequest<'a> {
    pub(super) arguments: &'a TrainingArguments,
    pub(super) epochs: Option<u32>,
    pub(super) defaults: Defaults,
    pub(super) batch_size: u32,
    pub(super) seed: u64,
    pub(super) group: Option<&'a dyn ProcessGroup>,
}

impl TrainRequest<'_> {
    /// Whether this process writes files and prints: it runs alone, or has rank 0.
    pub(super) fn is_main(&self) -> bool {
        self.group.is_none_or(|group| group.rank() == 0)
    }

    /// The run folder: `given`, or else `default`. If `default` exists, a new run uses the first free one of `default-2`,
    /// `default-3`, …, and a resumed run the last existing one. All processes use the choice of rank 0.
    pub(super) fn place(&self, given: Option<&Path>, default: &Path) -> PathBuf {
        if let Some(given) = given {
            return given.to_owned();
        }
        let mut number = [0.0];
        if self.is_main() {
            let free = first_free(default);
            number[0] = f64::from(match (self.arguments.resumes(), self.arguments.force) {
                (true, _) => (free - 1).max(1),
                (false, true) => 1,
                (false, false) => free,
            });
        }
        if let Some(group) = self.group {
            group.sum(&mut number);
        }
        numbered(default, number[0] as u32)
    }

    /// Runs `work` in the run folder. If it fails, a newly created folder without results is removed.
    pub(super) fn in_run<T>(&self, path: &Path, work: impl FnOnce(&RunFolder) -> Result<T>) -> Result<T> {
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let created: Vec<&Path> = path.ancestors().take_while(missing).collect();
        let run = self.open_run(path)?;
        let result = work(&run);
        if result.is_err() && !created.is_empty() && self.is_main() {
            run.remove_if_unused();
            // A folder that is not empty stays.
            let _ = created.iter().try_for_each(std::fs::remove_dir);
        }
        result
    }

    /// Whether the run to be resumed has already finished, which is then reported. An error if there is no run to resume.
    /// All processes follow rank 0.
    pub(super) fn is_finished(&self, path: &Path, context: Context) -> Result<bool> {
        if !self.arguments.resumes() {
            return Ok(false);
        }
        if self.is_main() {
            files::heal(path);
        }
        let run = RunFolder::at(path);
        let [model, checkpoint] = [run.model(), run.checkpoint()].map(|file| file.exists());
        let missing = !model && !checkpoint;
        let ends = self.is_main() && (model && !checkpoint || missing && !self.arguments.auto_resume);
        let mut ended = [f64::from(u8::from(ends))];
        if let Some(group) = self.group {
            group.sum(&mut ended);
        }
        if ended == [0.0] || !self.is_main() {
            return Ok(ended != [0.0]);
        }
        if missing {
            bail!(
                "--resume: there is no run in {}: neither checkpoint.safetensors nor model.safetensors is there; --out names \
                 the folder of a run, and --auto-resume starts a new one where there is none",
                path.display()
            );
        }
        let training = load_model(run.model())?.training;
        let [request, done] = ["epochs", "completed_epochs"].map(|key| training[key].as_u64().unwrap_or(0));
        let (name, completed) = (path.display(), counted(done as usize, "epoch"));
        if self.epochs.is_some_and(|epochs| u64::from(epochs) > request) {
            bail!(
                "{name}: this run of {completed} is finished and its checkpoint removed, so it cannot be resumed for more \
                 epochs: train its model further with --continue {name} --out DIR (--keep-checkpoint keeps the checkpoint \
                 of a run)"
            );
        }
        context.output.info(&format!(
            "{name}: this run of {completed} is finished; train its model further with --continue {name} --out DIR"
        ));
        Ok(true)
    }

    /// Runs `work` on rank 0 first, then on the other processes, which find its results on disk.
    pub(super) fn rank_0_first<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let wait = || self.group.map_or((), ProcessGroup::barrier);
        if !self.is_main() {
            wait();
        }
        let result = work()?;
        if self.is_main() {
            wait();
        }
        Ok(result)
    }

    /// Opens the run folder: a new one, or an existing one to resume.
    fn open_run(&self, path: &Path) -> Result<RunFolder> {
        if !self.is_main() {
            return Ok(RunFolder::at(path));
        }
        if self.arguments.resumes() {
            return Ok(RunFolder::reopen(path)?);
        }
        RunFolder::create(path, self.arguments.force).map_err(|problem| match problem {
            lucida::Error::Exists { path: file } if has_run(path) => {
                anyhow!("{} already exists; use --force to overwrite it; {}", file.display(), continued(path))
            }
            problem => problem.into(),
        })
    }

    fn epochs(&self) -> usize {
        self.epochs.unwrap_or(self.defaults.epochs) as usize
    }

    /// The training configuration. It resumes from a checkpoint if requested; `identity` is what must be unchanged in that
    /// case, in addition to the configuration.
    pub(super) fn config(
        &self,
        train: &dyn Dataset,
        run: &RunFolder,
        identity: Value,
        context: Context,
    ) -> Result<TrainConfig> {
        let arguments = self.arguments;
        let ranks = if arguments.distributed.scale_with_ranks { self.group.map_or(1, ProcessGroup::size) } else { 1 };
        let count = |number: Option<u32>| number.map(|number| number as usize);
        let (epochs, batch_size) = (self.epochs(), self.batch_size as usize * ranks);
        let steps = count(arguments.steps_per_epoch).unwrap_or(train.len().div_ceil(batch_size));
        let decay = arguments.weight_decay.map_or(0.0, |decay| decay as f32);
        // Adam's own weight decay is already decoupled.
        let decays_itself = arguments.optimizer == OptimizerName::Adam;
        Ok(TrainConfig {
            epochs,
            batch_size,
            learning_rate: self.learning_rate(ranks, (epochs * steps) as u64),
            optimizer: optimizer(arguments.optimizer, decay),
            seed: self.seed,
            cpu: context.cpu,
            steps_per_epoch: count(arguments.steps_per_epoch),
            validation_steps: count(arguments.validation_steps),
            loss: arguments.loss,
            metrics: Vec::new(),
            monitor: arguments.monitor,
            class_weights: class_weights(arguments.class_weights.as_ref(), train)?,
            label_smoothing: arguments.label_smoothing.unwrap_or(0.0) as f32,
            weight_decay: if decays_itself { 0.0 } else { decay },
            clip_norm: arguments.clip_norm.map(|norm| norm as f32),
            ema: arguments.ema.map(|decay| decay as f32),
            param_group: None,
            on_nan: arguments.on_nan,
            checkpoint: Some(Checkpoint {
                path: run.checkpoint(),
                every: count(arguments.checkpoint_every),
                resume: arguments.resumes(),
                identity,
            }),
        })
    }

    /// The learning-rate schedule over `steps` steps, including the warm-up.
    fn learning_rate(&self, ranks: usize, steps: u64) -> Schedule {
        let arguments = self.arguments;
        let rate = arguments.learning_rate.unwrap_or(self.defaults.learning_rate) * ranks as f64;
        let warm_up = u64::from(arguments.warm_up);
        let schedule = match arguments.schedule {
            ScheduleName::Constant => Schedule::constant(rate),
            ScheduleName::Cosine => Schedule::cosine(rate, steps.saturating_sub(warm_up)),
        };
        schedule.with_warm_up(warm_up)
    }

    /// The trainer with its callbacks; the dashboard shows some validation images.
    pub(super) fn trainer<'r>(
        &'r self,
        config: &TrainConfig,
        model: &Model,
        (set, samples): (&dyn Dataset, &dyn Samples),
        run: &'r RunFolder,
        context: Context,
    ) -> Result<Trainer<'r>> {
        let arguments = self.arguments;
        let mut trainer = Trainer::new(config.clone()).process_group(self.group);
        let patience = arguments.early_stopping.unwrap_or(self.defaults.early_stopping) as usize;
        if patience > 0 {
            trainer = trainer.callback(EarlyStopping::new(patience));
        }
        if let Some(patience) = arguments.reduce_on_plateau {
            trainer = trainer.callback(ReduceLrOnPlateau::new(patience as usize, arguments.plateau_factor)?);
        }
        if !self.is_main() {
            return Ok(trainer);
        }
        if arguments.tensorboard {
            trainer = trainer.callback(TensorBoard::create(run.path().join("tensorboard"))?);
        }
        trainer = trainer.callback(ReplaceEarlier(run));
        if !arguments.tui {
            return Ok(trainer.callback(TrainingBar::new(context.output, self.epochs())));
        }
        if !context.output.is_terminal() {
            return Err(Usage("--tui needs a terminal".to_owned()).into());
        }
        let (all, trainable) = model.network.parameters();
        let frozen =
            if all > trainable { format!(", {} of them trained", thousands(trainable)) } else { String::new() };
        let (threads, isa) = (counted(context.cpu.threads(), "thread"), context.cpu.isa().name());
        let facts = format!("{} parameters{frozen} · {threads} with {isa}", thousands(all));
        let title = format!("lucida · {} · {}", model.network.name(), run.path().display());
        let board = Board::new(title, facts, model.class_names.clone(), self.epochs()).with_examples(set, samples)?;
        Ok(trainer.callback(Dashboard::new(board, context.cpu)?))
    }
}

/// Removes the earlier run with the same name once this one has completed an epoch.
struct ReplaceEarlier<'r>(&'r RunFolder);

impl Callback for ReplaceEarlier<'_> {
    fn checkpoint_written(&mut self, history: &History) -> lucida::Result<()> {
        if history.epochs.is_empty() { Ok(()) } else { self.0.discard_earlier() }
    }
}

fn optimizer(name: OptimizerName, weight_decay: f32) -> Optimizer {
    match name {
        OptimizerName::Adam if weight_decay > 0.0 => Optimizer::adam().with_weight_decay(weight_decay),
        OptimizerName::Adam => Optimizer::adam(),
        OptimizerName::Rmsprop => Optimizer::rmsprop(),
        OptimizerName::Sgd => Optimizer::sgd(),
        OptimizerName::Nesterov => Optimizer::Sgd { momentum: 0.9, nesterov: true },
    }
}

/// Prints the network, its parameters, and the loss if one was chosen.
pub(super) fn print_network(network: &Network, training: &TrainingArguments, context: Context) {
    let output = context.output;
    let (all, trainable) = network.parameters();
    let frozen = match all - trainable {
        0 => String::new(),
        _ => format!(", {} of them trained", thousands(trainable)),
    };
    output.info(&format!(
        "Network {}: {} parameters{frozen}; {} with {}",
        network.name(),
        thousands(all),
        counted(context.cpu.threads(), "thread"),
        context.cpu.isa().name()
    ));
    if let Some(loss) = training.loss {
        output.info(&format!("Loss {loss}"));
    }
}

/// Whether a folder contains a training run.
fn has_run(path: &Path) -> bool {
    let run = RunFolder::at(path);
    run.model().exists() || run.checkpoint().exists()
}

/// How to resume a run or train it further, instead of overwriting it.
fn continued(path: &Path) -> String {
    match RunFolder::at(path).checkpoint().exists() {
        true => "--resume continues this run from its checkpoint".to_owned(),
        false => format!(
            "this run is finished (--resume is for one that was stopped): --continue {} --out DIR trains its model further",
            shell_word(&path.display().to_string())
        ),
    }
}

/// Class weights, in the order of the classes.
fn class_weights(request: Option<&ClassWeights>, train: &dyn Dataset) -> Result<Vec<f32>> {
    let names = train.class_names();
    match request {
        None => Ok(Vec::new()),
        Some(ClassWeights::Balanced) => Ok(balanced_class_weights(&train.labels(), names.len())),
        Some(ClassWeights::Named(weights)) => {
            if let Some((unknown, _)) = weights.iter().find(|(name, _)| !names.contains(name)) {
                bail!("--class-weights: there is no class {unknown:?}; the classes are {}", names.join(", "));
            }
            let weight =
                |name: &String| weights.iter().find(|(known, _)| known == name).map_or(1.0, |(_, weight)| *weight);
            Ok(names.iter().map(weight).collect())
        }
    }
}
