"""Workloads of Lucida without peers: how time scales, and the fraction of the processor's peak that each layer reaches."""

import statistics
import subprocess

from common import ROOT, built, measure, save, say

SIDES = (128, 256, 512, 768, 1024)
BATCHES = (1, 8, 32, 128, 512)


class Scaling:
    """Times steps of growing size, and steps on one thread and on all."""

    title = "How time grows"
    text = (
        "Lucida alone: the step of style transfer on growing images, the training step of the MNIST network on growing "
        "batches, and steps on one thread and on all. Median and least of all rounds; growth is the time per megapixel or per "
        "sample over that of the line above."
    )
    programs, binary = {"style_step", "mnist_step", "photos"}, False
    threaded = {
        "style step, 512x512": ("style_step", "512"),
        "MNIST step, batch 256": ("mnist_step", "256"),
        "cats-and-dogs step, batch 32": ("photos", "step"),
    }

    def needed(self):
        return set()

    def record(self, key, _, options):
        every, one = options.threads, 1
        steps = [(("style_step", str(side)), every) for side in SIDES]
        steps += [(("mnist_step", str(batch)), every) for batch in BATCHES]
        steps += [(command, threads) for command in self.threaded.values() for threads in (one, every)]
        times = {step: [] for step in steps}
        for number in range(options.rounds):
            for (program, argument), threads in times:
                result = measure([built(options, program), argument, str(threads)])
                times[(program, argument), threads].append(result["ms"])
                median = statistics.median(result["ms"])
                say(f"{key}, round {number + 1}: {program} {argument}, {threads} threads: {median:.2f} ms")

        def median(command, threads=every):
            return statistics.median(map(statistics.median, times[command, threads]))

        def growth(program, sizes, units):
            before = None
            for size in sizes:
                command = program, str(size)
                per_unit = median(command) / units(size)
                least = min(map(min, times[command, every]))
                grown = f"{per_unit / before:.2f}" if before else ""
                yield f"| {size} | {median(command):.2f} | {least:.2f} | {per_unit:.3f} | {grown} |"
                before = per_unit

        lines = [
            f"{result['name']}.",
            "",
            "| style step, side in px | median ms | least ms | ms per megapixel | growth |",
            "| ---: | ---: | ---: | ---: | ---: |",
            *growth("style_step", SIDES, lambda side: side * side / 1e6),
            "",
            "| MNIST step, batch | median ms | least ms | ms per sample | growth |",
            "| ---: | ---: | ---: | ---: | ---: |",
            *growth("mnist_step", BATCHES, lambda batch: batch),
            "",
            f"| | 1 thread, ms | {every} threads, ms | times as fast |",
            "| --- | ---: | ---: | ---: |",
            *(
                f"| {name} | {median(command, one):.2f} | {median(command):.2f} | {median(command, one) / median(command):.2f} |"
                for name, command in self.threaded.items()
            ),
        ]
        save(key, self.title, self.text, options, lines)


class Plans:
    """Records the output of `lucida bench plan` for the networks of the other workloads."""

    title = "The share of peak of each layer"
    text = (
        "`lucida bench plan`: the algorithm, the median time and the GFLOP/s of each layer of the networks that the other workloads "
        "time. A rate counts a convolution by its definition; Winograd's algorithm does with a quarter of the multiplications, "
        "so its share may exceed 100 %. The last column is the share of peak of its matrix products alone, those that it computes, "
        "without the transforms around them."
    )
    programs, binary = set(), True
    plans = [
        "vgg19 --size 512 --style --cut block5_conv2",
        "basic-cnn --size 150 --batch 32 --training",
        "mnist-cnn --batch 256 --training",
        "inception-v3 --size 150 --batch 32 --cut mixed7",
    ]

    def needed(self):
        return set()

    def record(self, key, _, options):
        lines = []
        for plan in self.plans:
            command = f"bench plan {plan} --rounds {options.rounds} --threads {options.threads}"
            say(f"{key}: lucida {command}")
            # The last line, the total, goes to standard error.
            done = subprocess.run(
                [built(options, "lucida"), *command.split()],
                cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )
            lines += [f"## lucida {command}", "", "```text", done.stdout.rstrip(), "```", ""]
        save(key, self.title, self.text, options, lines[:-1])
