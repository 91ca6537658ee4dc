"""fastpunet check."""

from __future__ import annotations

import json

from fastpunet.cli.running import MODEL_HELP
from fastpunet.cli.telling import add_json, check_json, tell
from fastpunet.parsing import Namespace, Parser

SUMMARY = "say what files or a data set hold, and what looks wrong"


def parser() -> Parser:
    options = Parser(
        "fastpunet check",
        "Say what files, folders or a data set hold, before you train or draw: formats, sizes, channels, spacing, "
        "axes and grey values; of a data set also raters, how far they agree, labels and the share of empty masks. "
        "Several data sets are compared as parts of one, which should share no image and no patient. What is found is "
        "either a problem, which would stop the work or make its results wrong (files that cannot be read, one image "
        "of another size, colour or orientation, duplicates, constant images, masks that are no class indices), or a "
        "note, which may be harmless. The headers of all files are read, and the pixels of at most 64 images. Exit "
        "status: 0 without problems, 1 with some, 2 if nothing could be checked.",
    )
    options.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help='PNG, JPEG, TIFF, NIfTI, DICOM or npz files, folders of them, patterns such as "scans/**/*.nii.gz", or '
        "data sets, as fastpunet train and evaluate take them",
    )
    options.add_argument("--model", metavar="MODEL", help=f"say also whether a model takes these images: {MODEL_HELP}")
    add_json(options, "what was found, with a list of all images")
    return options


def run(options: Namespace) -> int:
    from fastpunet.data.checking import check
    from fastpunet.models.checkpoint import load

    check_json(options)
    report = check(options.data, load(options.model) if options.model else None)
    tell(options, report.text(), json.dumps(report.to_dict(), indent=2))
    return 2 if not report.facts else 1 if report.problems else 0
