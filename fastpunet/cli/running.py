"""The options of every command that runs a model."""

from __future__ import annotations

from fastpunet.parsing import Namespace, Parser


def add_device(parser: Parser, default: str = "auto") -> None:
    """--device and --threads: where a model runs. With SUPPRESS as default, --print_config leaves them out."""
    parser.add_argument(
        "--device", default=default, help='"cpu", "cuda", "cuda:1", ...; auto takes a GPU if there is one, else the CPU'
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="T",
        default=None if default == "auto" else default,
        help="threads on the CPU; without it, PyTorch's choice",
    )


def add_speed(parser: Parser) -> None:
    """--batch-size and --precision: how hypotheses are drawn."""
    parser.add_argument("--batch-size", type=int, metavar="B", help="images at a time; without it, as many as fit")
    parser.add_argument(
        "--precision", default="auto", help='"ieee", "tf32" (GPU) or "bf16"; auto takes what PyTorch itself would use'
    )


def add_intensity(parser: Parser) -> None:
    """--intensity: how grey values are read."""
    parser.add_argument(
        "--intensity",
        metavar="RULE",
        help="which grey values of the data become 0 and 1: range:LOW:HIGH, window:CENTRE:WIDTH or "
        "percentiles:LOW:HIGH; without it, as in the model's training, or, if its checkpoint does not say, as the "
        "files' format suggests",
    )


def set_threads(options: Namespace) -> None:
    """Take as many threads as --threads says. The process belongs to the command, so its global setting may change."""
    if options.get("threads") is None:
        return
    import torch

    from fastpunet.arguments import check_count

    torch.set_num_threads(check_count("threads", options.threads))
