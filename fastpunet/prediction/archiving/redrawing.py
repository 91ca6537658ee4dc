"""Draws hypotheses of an archive anew from its model and its images, and compares them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from fastpunet.archive.checking import Fault
from fastpunet.archive.samples import StoredHypotheses, StoredSamples
from fastpunet.data.inputs import Input
from fastpunet.data.inputs.finding import look
from fastpunet.data.reading import one_line
from fastpunet.intensity import Intensity
from fastpunet.prediction.archiving.item import computed_with
from fastpunet.prediction.archiving.packed import packed_parts
from fastpunet.prediction.archiving.threads import check_threads, threads
from fastpunet.prediction.opening import open_model
from fastpunet.prediction.preparation import prepare
from fastpunet.prediction.request import Request


class Redrawing:
    """Compares the first hypotheses of images with those that model and image give now.

    model   None: the one that the archive names
    images  paths of the images, as they were given to `fastpunet sample`; None: the files that the archive names
    few     how many hypotheses of each image to draw

    Raises ValueError for another model than the archive's, and FileNotFoundError for images that are not there.
    """

    def __init__(
        self,
        samples: StoredSamples,
        few: int,
        *,
        model: str | os.PathLike[str] | None = None,
        images: Sequence[str | os.PathLike[str]] | None = None,
        device: str = "auto",
    ) -> None:
        self._samples = samples
        wanted = samples.about["model"]
        try:
            self._request = request_of(samples.about["request"], few)
            source, digest = os.fspath(wanted["source"]), str(wanted["sha256"])
            self._threads = check_threads(samples.about["request"]["threads"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"archive: {samples.path} is damaged ({one_line(error)})") from None
        self._opened = open_model(source if model is None else model, self._request, device)
        if self._opened.about["model"]["sha256"] != digest:
            raise ValueError(
                f"model: {self._opened.about['model']['source']} is not the model of {samples.path} (SHA-256 "
                f"{digest[:12]}...); name that one with --model"
            )
        paths = _named_files(samples) if images is None else images
        found = look(paths).inputs
        self._named = {source.name: source for source in found}
        self._of_files: dict[tuple[Path, ...], list[Input]] = defaultdict(list)
        for source in found:
            self._of_files[source.files].append(source)

    def faults(self, name: str) -> list[Fault]:
        """What differs in an image; nothing if every bit is the same."""
        try:
            return self._differences(name, self._samples[name])
        except Exception as error:  # damage may fail in any way
            return [Fault(name, one_line(error, 1000))]

    def _differences(self, name: str, stored: StoredHypotheses) -> list[Fault]:
        source = self._source(name, stored)
        if source is None:
            return [Fault(name, "its image is not among those that were found; name it with --images")]
        prepared = prepare(source, self._opened.sampler.method, self._request)
        if prepared.sha256 != stored.about["sha256"]:
            return [Fault(name, "its image is another one now")]
        few = min(self._request.n, stored.n)
        with threads(self._threads):
            parts = packed_parts(self._opened.sampler, prepared, stored.about["id"], self._request)
            drawn = torch.cat(list(parts))[:few]
            now = computed_with(self._opened.sampler)
        changed = int((drawn != stored[:few].words[0]).flatten(1).any(1).sum())
        if not changed:
            return []
        text = f"{changed} of the first {few} hypotheses are others when they are drawn again"
        then = stored.about["computed"]
        other = [f"{key} {then[key]} then, {now.get(key)} now" for key in then if then[key] != now.get(key)]
        return [Fault(name, f"{text}; rounding may explain it: {', '.join(other)}" if other else text)]

    def _source(self, name: str, stored: StoredHypotheses) -> Input | None:
        """The image of these files, whatever it is called among those of today, else the one of this name."""
        its = self._of_files.get(tuple(map(Path, stored.about["files"])), [])
        return its[0] if len(its) == 1 else self._named.get(name)


def request_of(asked: Mapping[str, Any], n: int) -> Request:
    """The request of an archive, with another number of hypotheses."""
    values = {field.name: asked[field.name] for field in fields(Request) if field.name in asked}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    rule = None if values["intensity"] is None else Intensity.parse(values["intensity"])
    return Request(**{**values, **lists, "n": n, "intensity": rule})


def _named_files(samples: StoredSamples) -> list[Path]:
    """The files that the archive names and that are still there, each once."""
    named = dict.fromkeys(Path(file) for files in _column(samples, "files") for file in files)
    return [file for file in named if file.exists()]


def _column(samples: StoredSamples, name: str) -> Iterator[Any]:
    for batch in samples.batches([name]):
        yield from batch.column(0).to_pylist()
