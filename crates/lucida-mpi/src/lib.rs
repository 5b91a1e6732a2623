//! Process groups over MPI, for distributed training and batch jobs: see [`Mpi`].

mod wire;
mod work_queue;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use lucida::nn::{BucketSink, ProcessGroup};
use lucida::train::distributed::Wire;
use lucida::{Error, Result};
use mpi::collective::SystemOperation;
use mpi::environment::{Universe, processor_name};
use mpi::request::{LocalScope, Request, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;

use crate::wire::{pack, packed_len, unpack};

/// How long processes wait for each other, unless `LUCIDA_MPI_TIMEOUT` is set.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait for replies when checking which processes are still alive.
const ROLL_CALL: Duration = Duration::from_secs(3);
const ROLL_CALL_TAG: i32 = 77;
/// How long the launcher gets to notice by itself that it has lost a host. If it is told to abort earlier, it tries to
/// notify that host and waits for it: TCP sends no keep-alive probes while unacknowledged data is in flight.
const NOTICE: Duration = Duration::from_secs(15);
/// How long MPI may take to end the other processes.
const FAREWELL: Duration = Duration::from_secs(5);
/// Size of a host name's buffer, in bytes.
const NAME: usize = 256;

/// A process group started by MPI, seen from one of its processes.
///
/// No process waits forever: if the others do not respond for a minute (`LUCIDA_MPI_TIMEOUT` seconds), it checks which ones
/// are still alive, names those that are not, and ends the job.
pub struct Mpi {
    // Finalizes MPI when dropped.
    _universe: Universe,
    world: SimpleCommunicator,
    rank: usize,
    size: usize,
    hosts: Vec<String>,
    wire: Wire,
    patience: Duration,
    /// Buffers of the buckets in flight.
    floats: RefCell<Vec<Vec<f32>>>,
    halves: RefCell<Vec<[Vec<u16>; 4]>>,
}

impl Mpi {
    /// Joins the processes that were started together; a group of one without a launcher.
    ///
    /// # Errors [`Error::Argument`] if MPI is already initialized in this process, or `LUCIDA_MPI_TIMEOUT` is not a positive
    /// whole number of seconds.
    pub fn join(wire: Wire) -> Result<Self> {
        let patience = match std::env::var("LUCIDA_MPI_TIMEOUT") {
            Err(_) => PATIENCE,
            Ok(text) => {
                let seconds = text.parse().ok().filter(|&seconds| seconds > 0);
                Duration::from_secs(seconds.ok_or_else(|| {
                    Error::argument(format!("LUCIDA_MPI_TIMEOUT is {text:?}: give a whole number of seconds"))
                })?)
            }
        };
        let universe = mpi::initialize().ok_or_else(|| Error::argument("MPI is in use in this process already"))?;
        let world = universe.world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        let mut name = processor_name().unwrap_or_default().into_bytes();
        name.resize(NAME, 0);
        let mut names = vec![0_u8; NAME * size];
        // No timeout here: processes may start minutes apart.
        world.all_gather_into(&name[..], &mut names[..]);
        let host = |name: &[u8]| String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
        let hosts = names.chunks(NAME).map(host).collect();
        let (floats, halves) = Default::default();
        Ok(Self { _universe: universe, world, rank, size, hosts, wire, patience, floats, halves })
    }

    /// The host name of this process.
    pub fn host(&self) -> &str {
        &self.hosts[self.rank]
    }

    /// Number of processes on this host.
    pub fn on_this_host(&self) -> usize {
        self.hosts.iter().filter(|host| *host == self.host()).count()
    }

    /// Number of hosts.
    pub fn host_count(&self) -> usize {
        let mut hosts: Vec<&String> = self.hosts.iter().collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts.len()
    }

    /// Ends all processes with this exit code; this one within five seconds, whatever the others do.
    pub fn abort(&self, code: i32) -> ! {
        // MPI asks the launcher's daemon to end the others and waits for it, which takes many minutes if a host has lost its
        // network.
        std::thread::spawn(|| {
            std::thread::sleep(FAREWELL);
            std::process::abort();
        });
        self.world.abort(code)
    }

    /// Waits for all requests to complete; ends the job if they take too long.
    fn finish<'a, R: ?Sized>(&self, mut requests: Vec<Request<'a, R, &LocalScope<'a>>>) {
        let started = Instant::now();
        let mut turns = 0_u32;
        while !requests.is_empty() {
            requests = unfinished(requests);
            turns += 1;
            // MPI only makes progress inside its calls, so poll; after a while, yield the processor in between.
            if turns > 2_000 {
                std::thread::sleep(Duration::from_micros(50));
                if started.elapsed() > self.patience {
                    self.give_up();
                }
            } else if turns > 200 {
                std::thread::yield_now();
            }
        }
    }

    /// Checks which processes still respond, reports those that do not, and ends the job.
    fn give_up(&self) -> ! {
        let others: Vec<usize> = (0..self.size).filter(|&rank| rank != self.rank).collect();
        let (here, mut there) = ([self.rank as u32], vec![[0_u32]; others.len()]);
        scope(|scope| {
            let mut asked = Vec::new();
            let mut answers = Vec::new();
            for (&rank, there) in others.iter().zip(&mut there) {
                let process = self.world.process_at_rank(rank as i32);
                asked.push(process.immediate_send_with_tag(scope, &here[..], ROLL_CALL_TAG));
                answers
                    .push((rank, Some(process.immediate_receive_into_with_tag(scope, &mut there[..], ROLL_CALL_TAG))));
            }
            let started = Instant::now();
            while started.elapsed() < ROLL_CALL && answers.iter().any(|(_, answer)| answer.is_some()) {
                for (_, answer) in &mut answers {
                    *answer = answer.take().and_then(|answer| answer.test().err());
                }
                asked = unfinished(asked);
                std::thread::sleep(Duration::from_millis(5));
            }
            let silent: Vec<usize> =
                answers.iter().filter(|(_, answer)| answer.is_some()).map(|(rank, _)| *rank).collect();
            let elsewhere = silent.iter().any(|&rank| self.hosts[rank] != self.host());
            let missing: Vec<String> =
                silent.iter().map(|&rank| format!("rank {rank} on {}", self.hosts[rank])).collect();
            let missing = if missing.is_empty() {
                "a rank that is slow: if it is meant to be, set LUCIDA_MPI_TIMEOUT to more seconds".to_owned()
            } else {
                missing.join(", ")
            };
            eprintln!(
                "error: rank {} on {}: no answer for {} s from {missing}; the job ends, and can be resumed",
                self.rank,
                self.host(),
                self.patience.as_secs(),
            );
            if elsewhere {
                std::thread::sleep(NOTICE);
            }
            // Pending requests end with the process.
            self.abort(1)
        })
    }

    fn sum_fp32(&self, sums: &mut [Vec<f32>], work: &mut dyn FnMut(&mut BucketSink<'_>)) {
        let mut floats = self.floats.borrow_mut();
        floats.resize_with(sums.len(), Vec::new);
        for (sent, sum) in floats.iter_mut().zip(&*sums) {
            sent.resize(sum.len(), 0.0);
        }
        scope(|scope| {
            let mut left = sums.iter_mut().zip(floats.iter_mut());
            let mut requests = Vec::new();
            work(&mut |bucket: &mut Vec<f32>| {
                let (sum, sent) = left.next().expect("as many buckets as were given");
                std::mem::swap(sent, bucket);
                let sum_of = SystemOperation::sum();
                requests.push(self.world.immediate_all_reduce_into(scope, &sent[..], &mut sum[..], sum_of));
                requests = unfinished(std::mem::take(&mut requests));
            });
            self.finish(requests);
        });
    }

    fn sum_fp16(&self, all: &mut [Vec<f32>], work: &mut dyn FnMut(&mut BucketSink<'_>)) {
        let mut halves = self.halves.borrow_mut();
        halves.resize_with(all.len(), Default::default);
        let piece_of = |sums: &Vec<f32>| sums.len().div_ceil(self.size);
        for (buffers, sums) in halves.iter_mut().zip(&*all) {
            let piece = packed_len(piece_of(sums));
            let lens = [piece * self.size, piece * self.size, piece, piece * self.size];
            buffers.iter_mut().zip(lens).for_each(|(buffer, len)| buffer.resize(len, 0));
        }
        // Reduce-scatter: send each piece to the process that sums it.
        scope(|scope| {
            let mut left = halves.iter_mut();
            let mut requests = Vec::new();
            work(&mut |bucket: &mut Vec<f32>| {
                let [sent, parts, ..] = left.next().expect("as many buckets as were given");
                let piece = piece_of(bucket);
                for (rank, to) in sent.chunks_mut(packed_len(piece)).enumerate() {
                    let end = bucket.len();
                    pack(&bucket[(rank * piece).min(end)..((rank + 1) * piece).min(end)], to);
                }
                requests.push(self.world.immediate_all_to_all_into(scope, &sent[..], &mut parts[..]));
                requests = unfinished(std::mem::take(&mut requests));
            });
            self.finish(requests);
        });
        // All-gather: send the sums to all processes.
        scope(|scope| {
            let mut requests = Vec::new();
            for (whole, [_, parts, sent, sums]) in all.iter().zip(halves.iter_mut()) {
                let mut total = vec![0.0_f32; piece_of(whole)];
                for part in parts.chunks(packed_len(total.len())) {
                    total.iter_mut().zip(unpack(part)).for_each(|(total, value)| *total += value);
                }
                pack(&total, sent);
                requests.push(self.world.immediate_all_gather_into(scope, &sent[..], &mut sums[..]));
            }
            self.finish(requests);
        });
        for (whole, [.., sums]) in all.iter_mut().zip(halves.iter()) {
            let piece = piece_of(whole);
            for (values, sums) in whole.chunks_mut(piece.max(1)).zip(sums.chunks(packed_len(piece))) {
                values.iter_mut().zip(unpack(sums)).for_each(|(value, sum)| *value = sum);
            }
        }
    }
}

/// The requests that are still pending.
fn unfinished<'a, 'b, R: ?Sized>(
    requests: Vec<Request<'a, R, &'b LocalScope<'a>>>,
) -> Vec<Request<'a, R, &'b LocalScope<'a>>> {
    requests.into_iter().filter_map(|request| request.test().err()).collect()
}

impl ProcessGroup for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn barrier(&self) {
        self.world.barrier();
    }

    fn sum(&self, values: &mut [f64]) {
        let sent = values.to_vec();
        scope(|scope| {
            let sum = SystemOperation::sum();
            self.finish(vec![self.world.immediate_all_reduce_into(scope, &sent[..], values, sum)]);
        });
    }

    fn sum_behind(&self, sums: &mut [Vec<f32>], work: &mut dyn FnMut(&mut BucketSink<'_>)) {
        match self.wire {
            Wire::Fp32 => self.sum_fp32(sums, work),
            Wire::Fp16 => self.sum_fp16(sums, work),
        }
    }
}
