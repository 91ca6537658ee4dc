"""fastpunet serve."""

from __future__ import annotations

from pathlib import Path

from fastpunet.cli.running import MODEL_HELP, add_device, add_precision, add_window, one_or_all, tell_grey_values_once
from fastpunet.parsing import Namespace, Parser

SUMMARY = "answer requests over HTTP: hypotheses, modes, measures and report pages"


def parser() -> Parser:
    options = Parser(
        "fastpunet serve",
        "Load models once, and answer requests over HTTP until SIGTERM; requests that were accepted before it are "
        "still answered. POST /models/MODEL/sample and /models/MODEL/report take the bytes of an image; / is a page "
        "to drop images on; /models says what is served; /metrics counts for Prometheus; /openapi.json describes all "
        "of it. Only programs on this machine can reach the service. Another --host opens it to others, and needs a "
        "token. See docs/serving.md.",
    )
    options.add_argument("models", nargs="+", metavar="MODEL", help=f"{MODEL_HELP}; one or several")
    options.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; one that other machines can reach needs a token"
    )
    options.add_argument("--port", type=int, default=8000, help="port to listen at; 0 takes one that is free")
    options.add_argument(
        "--token-file",
        metavar="FILE",
        help="a file with a token that clients have to send; without it, the environment variable FASTPUNET_TOKEN",
    )
    options.add_argument(
        "--allow-host",
        nargs="+",
        default=[],
        metavar="NAME",
        help="host names by which clients may call the service, such as that of a proxy in front of it, besides "
        "localhost",
    )
    options.add_argument(
        "--workers",
        type=int,
        default=2,
        metavar="W",
        help="number of answers to compute at a time; they share the threads",
    )
    for name, default, what in (
        ("waiting", 32, "requests that wait for a worker; further ones are told to ask again later"),
        ("mebibytes", 64, "MiB in a file"),
        ("pixels", 1 << 24, "pixels of an image, or voxels of a volume"),
        ("n", 10_000, "hypotheses for an image"),
        ("labels", 1 << 30, "labels in an answer: hypotheses times pixels"),
        ("seconds", 120, "seconds from a request to its answer"),
    ):
        options.add_argument(f"--max-{name}", type=int, default=default, help=f"largest number of {what}")
    add_window(options)
    add_precision(options)
    add_device(options)
    return options


def run(options: Namespace) -> None:
    import torch

    from fastpunet.prediction.request import Request
    from fastpunet.serving.limits import Limits
    from fastpunet.serving.running import Manner, Place, serve
    from fastpunet_kernels.environment import serving_token

    tell_grey_values_once()
    token = serving_token() if options.token_file is None else Path(options.token_file).read_text("utf-8").strip()
    place = Place(options.host, options.port, token, options.allow_host)
    limits = Limits(
        **{name: options[f"max_{name}"] for name in ("mebibytes", "pixels", "n", "labels", "waiting", "seconds")}
    )
    request = Request(precision=options.precision, window=one_or_all(options.window), overlap=options.overlap)
    manner = Manner(options.device, request, options.workers, limits)
    torch.set_num_threads(max(1, torch.get_num_threads() // options.workers))
    serve(options.models, place, manner, lambda line: print(line, flush=True))
