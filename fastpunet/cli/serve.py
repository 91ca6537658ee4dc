"""fastpunet serve."""

from __future__ import annotations

from pathlib import Path

from fastpunet.cli.running import add_device, one_or_all, tell_grey_values_once
from fastpunet.parsing import Namespace, Parser

SUMMARY = "answer requests over HTTP: hypotheses, modes, measures and report pages"


def parser() -> Parser:
    options = Parser(
        "fastpunet serve",
        "Load models once, and answer requests over HTTP until SIGTERM, which lets all requests that were taken have "
        "their answers. POST /models/MODEL/sample and /models/MODEL/report take the bytes of an image; / is a page to "
        "drop images on; /models says what is served; /metrics counts for Prometheus; /openapi.json describes all of "
        "it. Only programs on this machine can reach the service. Another --host opens it to others, and needs a "
        "token. See docs/serving.md.",
    )
    options.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="shipped weights (lesions, lidc-tiny), checkpoints or folders of training runs",
    )
    options.add_argument(
        "--host", default="127.0.0.1", help="address to listen at; any but this machine's own needs a token"
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
        help="names by which clients may call the service, such as that of a proxy before it; localhost always may",
    )
    options.add_argument(
        "--workers",
        type=int,
        default=2,
        metavar="W",
        help="how many answers to compute at a time; they share the threads",
    )
    for name, default, what in (
        ("waiting", 32, "requests that wait for a worker; more are told to ask again later"),
        ("mebibytes", 64, "MiB of a file"),
        ("pixels", 1 << 24, "pixels of an image, or voxels of a volume"),
        ("n", 10_000, "hypotheses of an image"),
        ("labels", 1 << 30, "hypotheses of an image times its pixels"),
        ("seconds", 120, "seconds from a request to its answer"),
    ):
        options.add_argument(f"--max-{name}", type=int, default=default, help=f"the most {what}")
    options.add_argument(
        "--window",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="pass large images through the networks in overlapping windows of this size, one number or one for each "
        "axis, (slices,) rows, columns; without it, as a whole",
    )
    options.add_argument("--overlap", type=float, default=0.5, help="share of a window that the next one covers too")
    options.add_argument(
        "--precision", default="auto", help='"ieee", "tf32" (GPU) or "bf16"; auto takes what PyTorch itself would use'
    )
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
