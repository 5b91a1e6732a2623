"""What `bench/run` and its workloads share: building, running, and writing records."""

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
# The options that name folders, as they stand in the workloads' commands.
FOLDERS = ("DATA", "WEIGHTS", "MNIST")


def peers_python():
    """The interpreter of an environment with the peers, which is made if need be."""
    folder = SCRATCH / "peers"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PINNED], check=True)
    return str(python)


def build(options, programs, binary):
    """Builds programs of `bench/programs`, and the binary if it is wanted."""
    command = ["cargo", "build", "--profile", options.profile]
    if programs:
        words = [word for name in sorted(programs) for word in ("--bin", name)]
        subprocess.run([*command, "-p", "lucida-programs", *words], cwd=ROOT, check=True)
    if binary:
        subprocess.run([*command, "-p", "lucida-cli"], cwd=ROOT, check=True)


def built(options, name):
    """Where cargo has put a program."""
    return str(ROOT / "target" / options.profile / name)


def run(command, environment=None):
    """What the command prints; ends this program with what it complained of if it failed."""
    environment = {**os.environ, **(environment or {})}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{done.stderr}{' '.join(command)} failed")
    return done.stdout


def measure(command, environment=None):
    """What a program that times itself says in its last line: its name, times in ms, and perhaps its memory in mb."""
    return json.loads(run(command, environment).strip().splitlines()[-1])


def cpuinfo():
    """What Linux says of the first processor."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def instructions():
    """The widest instruction set that both this processor and Lucida have, by Lucida's name."""
    if platform.machine() == "aarch64":
        return "neon"
    flags = cpuinfo()["flags"].split()
    return "avx512" if "avx512f" in flags else "avx2" if "avx2" in flags else "scalar"


def processor():
    """Its name; for x86 the family and model too, because a virtual machine's name is often no more than the maker's."""
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
