"""Functions shared by `bench/run` and its workloads: building, running, and writing records."""

import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
SCRATCH = ROOT / "target" / "bench"
RECORDS = HERE / "records"
PINNED = ["tensorflow-cpu==2.21.0", "keras==3.15.1", "torch==2.15.0", "torchvision==0.29.2", "onnx==1.23.2"]
PINNED += ["onnxruntime==1.32.0", "openvino==2026.4.1", "pillow==13.0.0", "scipy==1.17.1"]
# Placeholders for folders in the workloads' commands; in lower case, the options that set them.
FOLDERS = ("DATA", "WEIGHTS", "MNIST")


def peers_python():
    """Returns the interpreter of a virtual environment with the peers, which is created if necessary."""
    folder = SCRATCH / "peers"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PINNED], check=True)
    return str(python)


def build(options, programs, binary):
    """Builds programs of `bench/programs`, and the binary if `binary` is true."""
    command = ["cargo", "build", "--profile", options.profile]
    if programs:
        words = [word for name in sorted(programs) for word in ("--bin", name)]
        subprocess.run([*command, "-p", "lucida-programs", *words], cwd=ROOT, check=True)
    if binary:
        subprocess.run([*command, "-p", "lucida-cli"], cwd=ROOT, check=True)


def built(options, name):
    """Returns the path of a program that cargo has built."""
    return str(ROOT / "target" / options.profile / name)


def run(command, environment=None):
    """Runs a command and returns its standard output; if it fails, exits with its standard error."""
    environment = {**os.environ, **(environment or {})}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{done.stderr}{' '.join(command)} failed")
    return done.stdout


def measure(command, environment=None):
    """Runs a program that times itself; returns the JSON of its last line: `name`, times `ms`, and optionally memory `mb`."""
    return json.loads(run(command, environment).strip().splitlines()[-1])


def cpuinfo():
    """Returns the entries of the first processor in /proc/cpuinfo."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def instructions():
    """Returns Lucida's name of the widest instruction set that both this processor and Lucida support."""
    if platform.machine() == "aarch64":
        return "neon"
    flags = cpuinfo()["flags"].split()
    return "avx512" if "avx512f" in flags else "avx2" if "avx2" in flags else "scalar"


def processor():
    """Returns the processor's name; for x86 with family and model, because virtual machines often only report the vendor."""
    info = cpuinfo()
    kind = f" (family {info['cpu family']}, model {info['model']})" if "cpu family" in info else ""
    return f"{info.get('model name', platform.machine())}{kind}, {instructions()}"


def say(text):
    print(text, file=sys.stderr, flush=True)


def save(key, title, text, options, lines):
    """Writes a record into the folder for this instruction set, and prints it."""
    commit = run(["git", "rev-parse", "--short", "HEAD"]).strip()
    folders = "".join(f" --{name.lower()} FOLDER" for name in FOLDERS if getattr(options, name.lower()))
    command = f"bench/run {key} --rounds {options.rounds} --threads {options.threads} --profile {options.profile}{folders}"
    whole = [
        f"# {title}",
        "",
        text,
        "",
        f"- date: {datetime.date.today()}, commit {commit}",
        f"- processor: {processor()}, {options.threads} threads; {platform.system()} {platform.machine()}",
        f"- {options.rounds} rounds in turn: `{command}`",
        "",
        *lines,
        "",
    ]
    folder = RECORDS / instructions()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{datetime.date.today()}-{key}.md").write_text("\n".join(whole))
    print("\n".join(whole))
