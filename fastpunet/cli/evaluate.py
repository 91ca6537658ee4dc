"""fastpunet evaluate."""

from __future__ import annotations

from fastpunet.cli.running import MODEL_HELP, add_data, add_device, add_intensity, add_seed, add_speed
from fastpunet.parsing import Namespace, Parser

SUMMARY = "score models on a data set, side by side"


def parser() -> Parser:
    options = Parser(
        "fastpunet evaluate",
        "Draw hypotheses for every image of a data set, compare them with the graders' masks, and print tables in "
        "Markdown: the energy distance (V- and U-statistic, and its parts), how well hypotheses and graders match, and "
        "how well they are calibrated, with 95 % intervals over patients and training seeds. Sentences below the "
        "tables name models that are no better than a yardstick that needs no model. --compare tests which methods "
        "differ. --output also writes JSON, CSV and figures. See docs/evaluation.md.",
    )
    options.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help=f"{MODEL_HELP}; or a folder of checkpoints, in which NAME-seed0, NAME-seed1, ... count as one method and "
        "README.md becomes the report's introduction; or NAME=PATH, which gives a name to a checkpoint or to "
        "hypotheses that any program stored: a folder with a PNG folder, .tif, .nii.gz or .npz for each image, an "
        "archive of fastpunet sample, or an .npz, .npy or .zarr array (images, hypotheses, height, width)",
    )
    add_data(options, required=True)
    add_intensity(options)
    options.add_argument(
        "--num-classes",
        type=int,
        default=1,
        metavar="K",
        help="number of classes of stored hypotheses; 1 for binary masks",
    )
    options.add_argument(
        "--training-data",
        metavar="PATH",
        help="data set that the models were trained on: its masks serve as a yardstick, in place of the masks of other "
        "images",
    )
    options.add_argument(
        "--unmarked",
        action="store_true",
        help="for volumes: also score the slices in which nobody marked anything, so that false alarms are counted",
    )
    options.add_argument(
        "-n",
        type=int,
        nargs="+",
        default=[1, 4, 8, 16, 1000],
        help="numbers of hypotheses for each image to score with: one or several",
    )
    add_seed(options)
    options.add_argument(
        "--class-flips",
        action="store_true",
        help="for camvid or cityscapes with flipped classes: how often the hypotheses flip each of the five classes, "
        "beside how often the data do; with the largest -n",
    )
    options.add_argument(
        "--compare",
        nargs="?",
        const="",
        metavar="METHOD",
        help="test every method against this one, or without a name against the best of each score: paired differences "
        "on common images, p over patients and seeds, corrected for all comparisons (Holm)",
    )
    options.add_argument(
        "--scores",
        nargs="+",
        metavar="SCORE",
        help="with --compare: the scores to test, by their names in the JSON file; without it expected_value, the "
        "energy distance. Each further score makes the correction stricter",
    )
    options.add_argument("--output", metavar="STEM", help="write STEM.md, .json, .csv, STEM-energy.png, .svg, ...")
    options.add_argument(
        "--convention",
        help="how empty masks and several classes count in the energy distance (docs/conventions.md); without it "
        "kohl-lidc, or ccdm for more than two classes",
    )
    add_device(options)
    add_speed(options)
    return options


def run(options: Namespace) -> None:
    from fastpunet.reports.outputs import check_stem

    if options.output:
        check_stem(options.output)
    if options.class_flips and options.compare is not None:
        raise ValueError("--compare: class flips are not compared; leave out --compare or --class-flips")
    if options.class_flips:
        _score_flips(options)
    else:
        _compare(options)


def _compare(options: Namespace) -> None:
    from fastpunet.reports.comparison import compare
    from fastpunet.reports.comparison_files import write
    from fastpunet.reports.comparison_tables import tables
    from fastpunet.scoring.registry import WINNER

    if options.scores and options.compare is None:
        raise ValueError("--scores: got scores to test without --compare; add it, or leave out --scores")
    tested = () if options.compare is None else options.scores or (WINNER,)
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
        intensity=options.intensity,
        num_classes=options.num_classes,
        against=options.compare or None,
        tested=tested,
    )
    print(tables(comparison))
    for path in write(comparison, options.output) if options.output else []:
        print(path)


def _score_flips(options: Namespace) -> None:
    from fastpunet.reports.flips_comparison import compare_flips
    from fastpunet.reports.flips_files import write_flips

    flips = compare_flips(
        options.models,
        options.data,
        kind=options.kind,
        n=max(options.n),
        seed=options.seed,
        device=options.device,
        batch_size=options.batch_size,
        precision=options.precision,
        intensity=options.intensity,
    )
    print(flips.tables())
    for path in write_flips(flips, options.output) if options.output else []:
        print(path)
