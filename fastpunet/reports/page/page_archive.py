"""Pages about images of an archive, whose hypotheses are there already."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from fastpunet.archive import StoredSamples, open_samples
from fastpunet.data.inputs import Input
from fastpunet.data.inputs.finding import look
from fastpunet.data.reading import one_line
from fastpunet.prediction.archiving.origins import Origins
from fastpunet.prediction.opening import OpenedInputs, Outcome
from fastpunet.reports.page.file_subjects import check_flat
from fastpunet.reports.page.page_files import check_annotated, check_output, file_job
from fastpunet.reports.page.page_run import Manner, make_pages


def report_archive(
    archive: str | os.PathLike[str],
    wanted: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    manner: Manner,
    *,
    model: str | os.PathLike[str] | None = None,
    modes: int | None = None,
    annotations: Mapping[str, str | os.PathLike[str]] | None = None,
    place: int | None = None,
    device: str = "auto",
) -> list[Outcome]:
    """Make a page about each of some images of an archive. Returns what became of each.

    The hypotheses are those of the archive. All else comes from its model and its images, which must be the same files
    as when it was drawn.

    Args:
        wanted: names of images in the archive, which are where they were, or paths to where images are now; none stands
            for all images of the archive.
        model: where the archive's model is now; None: where it was.
        output, manner, annotations, place, device: as in `report_files`.

    Raises the errors of `report_files`.
    """
    check_output(output)
    samples = open_samples(archive)
    origins = Origins(samples, model=model, device=device, modes=modes, mean=False, entropy=False, measures=())
    sampler, request = origins.opened.sampler, origins.request
    check_flat(sampler)
    found = _find(origins, samples, wanted)
    given = dict(annotations or {})
    check_annotated(given, found)
    jobs = [file_job(source, sampler, request, given, place, samples[source.name]) for source in found.inputs]
    return make_pages(origins.opened, jobs, Path(output), request, manner, found.refused)


def _find(origins: Origins, samples: StoredSamples, wanted: Sequence[str | os.PathLike[str]]) -> OpenedInputs:
    """The images that were asked for, under their names in the archive. Raises ValueError if there is none."""
    paths = [path for path in wanted if os.fspath(path) not in samples]
    names = [os.fspath(path) for path in wanted if os.fspath(path) in samples] if wanted else samples
    try:
        elsewhere = look(paths) if paths else None
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{one_line(error)}, and no image of that name in {samples.path}") from None
    inputs: list[Input] = []
    refused = [] if elsewhere is None else [Outcome("", "failed", message) for message in elsewhere.refused]
    tries: Iterable[tuple[str, Callable[[], Input]]] = [
        *((name, partial(origins.image_of, name)) for name in names),
        *(
            (source.name, partial(origins.item_of, source))
            for source in ([] if elsewhere is None else elsewhere.inputs)
        ),
    ]
    for name, find in tries:
        try:
            inputs.append(find())
        except (ValueError, OSError) as error:
            refused.append(Outcome(name, "failed", one_line(error, 1000)))
    if not inputs:
        raise ValueError(refused[0].message if refused else f"archive: {samples.path} has no images")
    return OpenedInputs(inputs, refused)
