"""The options of every command that runs a model."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from fastpunet.parsing import Namespace, Parser

if TYPE_CHECKING:
    from fastpunet.prediction.request import Request

MODEL_HELP = (
    "shipped weights (lesions, lidc-tiny), a checkpoint, the folder of a training run, or a repository OWNER/NAME of "
    "the Hugging Face hub"
)
_DRAWN_ALREADY = (
    *("n", "seed", "sampler", "precision", "spacing", "unit", "convert", "window", "overlap", "intensity"),
    "data",
)  # options that an archive leaves nothing to decide about


def add_device(parser: Parser, default: str = "auto") -> None:
    """--device and --threads: where a model runs. With SUPPRESS as default, --print_config leaves them out."""
    parser.add_argument(
        "--device",
        default=default,
        help="where to compute: cpu, cuda, cuda:1, ... or auto, which takes a GPU if there is one, else the CPU",
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="T",
        default=None if default == "auto" else default,
        help="number of threads on the CPU; without it, as many as PyTorch takes",
    )


def add_speed(parser: Parser) -> None:
    """--batch-size and --precision: how hypotheses are drawn."""
    parser.add_argument(
        "--batch-size",
        type=int,
        metavar="B",
        help="number of images to compute at a time; without it, as many as fit into memory",
    )
    add_precision(parser)


def add_precision(parser: Parser) -> None:
    """--precision: how exactly hypotheses are computed."""
    parser.add_argument(
        "--precision",
        default="auto",
        help="floating-point arithmetic of the hypotheses: ieee (float32), tf32 (NVIDIA GPUs), bf16, or auto, which "
        "takes what PyTorch itself would use",
    )


def add_model(parser: Parser, note: str = "") -> None:
    """MODEL. note: what else its help says."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP + note)


def add_data(parser: Parser, note: str = "", *, required: bool = False) -> None:
    """--data and --kind: a data set. note: what else the help says of it."""
    parser.add_argument(
        "--data", required=required, metavar="PATH", help=f"data set: a bundle (.npz), a pickle or a folder{note}"
    )
    parser.add_argument(
        "--kind",
        help="kind of the data set: lidc, camvid, cityscapes (PATH is then ROOT/train or ROOT/val) or folder; without "
        "it, recognised by its files",
    )


def add_intensity(parser: Parser) -> None:
    """--intensity: how grey values are read."""
    parser.add_argument(
        "--intensity",
        metavar="RULE",
        help="which grey values of the data become 0 and 1: range:LOW:HIGH, window:CENTRE:WIDTH or "
        "percentiles:LOW:HIGH; without it, the rule of the model's training, or, if its checkpoint has none, one that "
        "follows from the format of the files",
    )


def add_hypotheses(parser: Parser) -> None:
    """-n and --seed: how many hypotheses are drawn, and which."""
    parser.add_argument("-n", type=int, default=1000, help="number of hypotheses to draw for each image")
    add_seed(parser)


def add_seed(parser: Parser) -> None:
    """--seed: which hypotheses are drawn."""
    parser.add_argument("--seed", type=int, default=0, help="random seed of the hypotheses")


def add_drawing(parser: Parser) -> None:
    """-n, --seed and --sampler: which hypotheses are drawn."""
    add_hypotheses(parser)
    parser.add_argument(
        "--sampler",
        default="random",
        help="how latents are drawn: random, sobol (evenly spread) or antithetic (in pairs)",
    )


def add_preparation(parser: Parser) -> None:
    """--spacing, --unit, --convert, --window, --overlap and --intensity: how images in files reach a model."""
    add_spacing(parser)
    parser.add_argument(
        "--unit",
        default="auto",
        help="unit of the measures: mm (an image of unknown spacing fails), px, or auto (mm where spacing is known)",
    )
    add_convert(parser)
    add_window(parser)
    add_intensity(parser)


def add_spacing(parser: Parser) -> None:
    """--spacing: mm between pixels."""
    parser.add_argument(
        "--spacing",
        type=float,
        nargs="+",
        metavar="MM",
        help="mm between pixels, if the files do not say it: one number, or one for each axis in the order rows, "
        "columns (of volumes slices, rows, columns)",
    )


def add_convert(parser: Parser) -> None:
    """--convert: colours and grey values."""
    parser.add_argument(
        "--convert", action="store_true", help="convert colours to grey, or grey to colours, as the model takes them"
    )


def add_window(parser: Parser) -> None:
    """--window and --overlap: large images."""
    parser.add_argument(
        "--window",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="pass large images through the networks in overlapping windows of this size: one number, or one for each "
        "axis in the order rows, columns (of volumes slices, rows, columns); without it, images pass as a whole",
    )
    parser.add_argument(
        "--overlap", type=float, default=0.5, help="share of a window, along each axis, that the next window covers too"
    )


def add_existing(parser: Parser, what: str) -> None:
    """--overwrite and --skip-existing: what becomes of answers (or whatever a command writes) that are there."""
    parser.add_argument("--overwrite", action="store_true", help=f"replace {what} that are there already")
    parser.add_argument(
        "--skip-existing",
        action="store_true",
        help=f"keep {what} that are there already, to go on with an interrupted run",
    )


def add_archive(parser: Parser) -> None:
    """MODEL, which may be an archive, and --model: where the model of an archive is now."""
    parser.add_argument(
        "model_or_archive",
        metavar="MODEL",
        help=f"{MODEL_HELP}; or an archive of fastpunet sample, which says how its hypotheses were drawn",
    )
    parser.add_argument(
        "--model", metavar="FILE", help="for an archive: where its model is now; without it, where it was"
    )


def is_archive(options: Namespace, parser: Parser) -> bool:
    """Whether MODEL is an archive. Raises ValueError for options that do not go with that."""
    from fastpunet.archive.layout import is_store

    if not is_store(options.model_or_archive):
        if options.model is not None:
            raise ValueError(
                f"model: got {options.model} with a model as MODEL, expected an archive; leave out --model"
            )
        return False
    for name in _DRAWN_ALREADY:
        if name in options and options[name] != parser.get_default(name):
            raise ValueError(
                f"{name}: got {options[name]} with an archive as MODEL, whose hypotheses are drawn already; leave it "
                "out, or name a model"
            )
    return True


def request_of(options: Namespace, **rest: Any) -> Request:
    """What the options of `add_drawing`, `add_preparation` and --precision ask for, and what else is given."""
    from fastpunet.intensity import Intensity
    from fastpunet.prediction.request import Request

    return Request(
        n=options.n,
        seed=options.seed,
        precision=options.precision,
        sampler=options.sampler,
        intensity=Intensity.parse(options.intensity) if options.intensity else None,
        spacing=tuple(options.spacing) if options.spacing else None,
        convert=options.convert,
        window=one_or_all(options.window),
        overlap=options.overlap,
        unit=options.unit,
        **rest,
    )


def one_or_all(sides: list[int] | None) -> int | tuple[int, ...] | None:
    """The sides of windows: one number for all axes, or one for each."""
    return None if sides is None else sides[0] if len(sides) == 1 else tuple(sides)


def tell_grey_values_once() -> None:
    """Hide Python's warning of grey values unlike those of training, which is said of each image by its name.

    The process belongs to the command, so its global setting may change.
    """
    warnings.filterwarnings("ignore", "images: got grey values", UserWarning)


def set_threads(options: Namespace) -> None:
    """Take as many threads as --threads says. The process belongs to the command, so its global setting may change."""
    if options.get("threads") is None:
        return
    import torch

    from fastpunet.arguments import check_count

    torch.set_num_threads(check_count("threads", options.threads))
