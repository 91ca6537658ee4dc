"""fastpunet assess."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from fastpunet.cli.running import (
    add_archive,
    add_convert,
    add_data,
    add_device,
    add_hypotheses,
    add_intensity,
    add_precision,
    add_spacing,
    is_archive,
)
from fastpunet.parsing import Namespace, Parser

SUMMARY = "say how likely and how typical a model finds annotations"


def parser() -> Parser:
    options = Parser(
        "fastpunet assess",
        "Say for each annotation of an image how likely the model finds it (log p(y | x), by importance sampling), "
        "how typical it is among the hypotheses, which hypothesis is nearest to it, and where it lies in the latent "
        "space. With --data, do so for every annotation of a data set, and print those that deserve a second look "
        "first. See docs/annotations.md.",
    )
    add_archive(options)
    options.add_argument(
        "files",
        nargs="*",
        default=[],
        metavar="IMAGE MASK",
        help="the image, and a file for each annotation of it: PNG, TIFF, NIfTI, DICOM or .npy, of the image's size; "
        "for an archive: the image's name in it, or its file, and then the annotations",
    )
    add_data(options, "; in place of an image and its annotations")
    add_hypotheses(options)
    options.add_argument("--output", metavar="STEM", help="write STEM.json and STEM.csv, a row for each annotation")
    options.add_argument("--most", type=int, default=20, help="with --data: the largest number of annotations to print")
    add_spacing(options)
    add_convert(options)
    add_precision(options)
    add_intensity(options)
    add_device(options)
    return options


def run(options: Namespace) -> None:
    from fastpunet.reports.outputs import check_stem

    if options.output:
        check_stem(options.output)
    if (options.data is None) == (not options.files):
        raise ValueError(
            "files: expected either an image and its annotations, MODEL IMAGE MASK..., or a data set, MODEL --data PATH"
        )
    archived = is_archive(options, parser())
    said = _of_files(options, archived) if options.data is None else _of_data(options)
    print(said.text)
    if options.output:
        for path in _write(options, said):
            print(path)


class _Said(NamedTuple):
    """What was found, in words and as rows for files; what to know before; of how many hypotheses of which seed."""

    text: str
    rows: list[dict[str, Any]]
    notes: list[str]
    n: int
    seed: int


def _of_files(options: Namespace, archived: bool) -> _Said:
    from fastpunet.intensity import Intensity
    from fastpunet.prediction.assessing import assess_archived, assess_files
    from fastpunet.prediction.request import Request

    image, *masks = options.files
    if archived:
        found = assess_archived(options.model_or_archive, image, masks, model=options.model, device=options.device)
    else:
        request = Request(
            n=options.n,
            seed=options.seed,
            precision=options.precision,
            intensity=Intensity.parse(options.intensity) if options.intensity else None,
            spacing=tuple(options.spacing) if options.spacing else None,
            convert=options.convert,
        )
        found = assess_files(options.model_or_archive, image, masks, request, device=options.device)
    for warning in found.warnings:
        print(f"fastpunet assess: warning: {warning}", file=sys.stderr)
    texts = [str(each) if place is None else f"slice {place}\n{each}" for place, each in found.slices.items()]
    notes = list(dict.fromkeys(note for each in found.slices.values() for note in each.notes))
    return _Said("\n\n".join(texts), found.rows(), found.warnings + notes, found.n, found.seed)


def _of_data(options: Namespace) -> _Said:
    from fastpunet.arguments import check_count
    from fastpunet.devices import find_device
    from fastpunet.models import checkpoint
    from fastpunet.reports.records import DataSet
    from fastpunet.reports.second_look import second_look, table

    most = check_count("most", options.most)
    model = checkpoint.load(options.model_or_archive).to(find_device(options.device))
    records = DataSet(options.data, options.kind, intensity=options.intensity).records_for(model)
    found = second_look(model, records, options.n, seed=options.seed, precision=options.precision)
    shown = found[:most]
    title = f"{len(shown)} of {len(found)} annotations, those least like any hypothesis first"
    rows = [mask.row() for mask in found]
    return _Said(f"{title}\n\n{table(shown)}", rows, [], options.n, options.seed)


def _write(options: Namespace, said: _Said) -> list[Any]:
    """Write STEM.json and STEM.csv, and return their paths."""
    import json

    import fastpunet
    from fastpunet.files import write_table, write_text
    from fastpunet.reports.outputs import check_stem, with_ending

    base = check_stem(options.output)
    base.parent.mkdir(parents=True, exist_ok=True)
    about = {"version": fastpunet.__version__, "model": options.model_or_archive, "n": said.n, "seed": said.seed}
    paths = [with_ending(base, ending) for ending in (".json", ".csv")]
    write_text(
        paths[0],
        json.dumps({**about, "notes": said.notes, "annotations": said.rows}, indent=1, ensure_ascii=False) + "\n",
    )
    write_table(paths[1], said.rows)
    return paths
