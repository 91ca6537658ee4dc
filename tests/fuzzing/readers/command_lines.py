"""Command lines of every command, up to where work would begin: options, and what is made of their values."""

import contextlib
import io
from functools import cache
from importlib import import_module

from fastpunet.cli import COMMANDS, sample
from fastpunet.cli.running import request_of
from fastpunet.intensity import Intensity
from fastpunet.training.config_file import to_config
from fuzzing.target import Target

_SEEDS = (
    "sample lesions a.png -o out -n 10 --seed 3 --threshold longest_diameter:8 --spacing 0.5 0.5 --intensity range:0:9",
    "sample lesions a.nii.gz --output out --modes 3 --window 64 --overlap 0.25 --format nifti --unit mm --mean",
    "train --config lesions steps=10 model.channels=[4,8] --learning_rate 1e-4 --objective.beta 2",
    "train --model {latent_dim:6} --data x --file y --augment true",
    "evaluate lesions other=y.pt --data x.npz -n 1 4 8 --compare --scores expected_value",
    "prepare lidc --size 64 --shares 0.6 0.2 0.2",
    "report lesions x.png --output page.html",
    "check x --model lesions",
    "convert a.pt b.safetensors",
    "assess lesions a.png b.png",
    "calibrate lesions --data x",
    "latent lesions --output x.png",
    "info --threads 3",
    "demo --help",
)


@cache
def _parser(command):
    return import_module(f"fastpunet.cli.{command}").parser()


def _read(path):
    command, *arguments = path.read_bytes().decode("utf-8", "surrogateescape").split("\0")
    if command not in COMMANDS:
        raise ValueError("unknown command")
    with contextlib.redirect_stdout(io.StringIO()):
        options = _parser(command).parse(arguments)
        if command == "sample":
            request_of(options, thresholds=tuple(map(sample.threshold, options.threshold)), modes=options.modes)
        elif command == "train":
            to_config(options)
        elif options.get("intensity"):
            Intensity.parse(options.intensity)


def targets():
    yield Target(
        "command-line",
        "x.txt",
        _read,
        lambda: [line.replace(" ", "\0").encode() for line in _SEEDS],
        refusals=(ValueError, OSError, TypeError),
    )
