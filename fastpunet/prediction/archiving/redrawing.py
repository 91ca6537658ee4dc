"""Draws hypotheses of an archive anew from its model and its images, and compares them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch

from fastpunet.archive.checking import Fault
from fastpunet.archive.layout import known
from fastpunet.archive.samples import StoredHypotheses, StoredSamples
from fastpunet.data.inputs import Input
from fastpunet.data.inputs.finding import look
from fastpunet.data.reading import one_line
from fastpunet.prediction.archiving.item import computed_with
from fastpunet.prediction.archiving.origins import Origins
from fastpunet.prediction.archiving.packed import packed_parts
from fastpunet.prediction.archiving.threads import threads
from fastpunet.prediction.preparation import prepare


class Redrawing:
    """Compares the first hypotheses of images with those that model and image give now.

    model   None: the one that the archive names
    images  paths of the images, as they were given to `fastpunet sample`; None: the files that the archive names
    few     how many hypotheses of each image to draw

    Raises ValueError for another model than the archive's, and FileNotFoundError for what is not there.
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
        self._samples, self._few = samples, few
        self._origins = Origins(samples, model=model, device=device, n=few)
        self._elsewhere = None if images is None else _Elsewhere(look(images).inputs)

    def faults(self, name: str) -> list[Fault]:
        """What differs in an image; nothing if every bit is the same."""
        try:
            return self._differences(name, self._samples[name])
        except Exception as error:  # damage may fail in any way
            return [Fault(name, one_line(error, 1000).removeprefix(f"{name}: "))]

    def _differences(self, name: str, stored: StoredHypotheses) -> list[Fault]:
        source = self._source(name, stored)
        sampler = self._origins.opened.sampler
        prepared = prepare(source, sampler.method, self._origins.request)
        few = min(self._few, stored.n)
        with threads(self._origins.threads):
            parts = packed_parts(sampler, prepared, known(stored.path, stored.about, "id", int), self._origins.request)
            drawn = torch.cat(list(parts))[:few]
            now = computed_with(sampler)
        changed = int((drawn != stored[:few].words[0]).flatten(1).any(1).sum())
        if not changed:
            return []
        text = f"{changed} of the first {few} hypotheses differ when they are drawn again"
        then = known(stored.path, stored.about, "computed", dict)
        other = [f"{key} {then[key]} then, {now.get(key)} now" for key in then if then[key] != now.get(key)]
        return [Fault(name, f"{text}; rounding may explain it: {', '.join(other)}" if other else text)]

    def _source(self, name: str, stored: StoredHypotheses) -> Input:
        if self._elsewhere is None:
            return self._origins.image_of(name)
        source = self._elsewhere.find(name, stored)
        self._origins.check_same(source, name)
        return source


class _Elsewhere:
    """Images that were named, for those of an archive."""

    def __init__(self, found: Sequence[Input]) -> None:
        self._named = {source.name: source for source in found}
        self._of_files: dict[tuple[str, ...], list[Input]] = defaultdict(list)
        for source in found:
            self._of_files[_absolute(source.files)].append(source)

    def find(self, name: str, stored: StoredHypotheses) -> Input:
        """The image of the same files, whatever it is called today, else the one of this name. Raises ValueError."""
        its = self._of_files.get(_absolute(known(stored.path, stored.about, "files", list)), [])
        source = its[0] if len(its) == 1 else self._named.get(name)
        if source is None:
            raise ValueError("its image is not among those that were found; name it with --images")
        return source


def _absolute(files: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    return tuple(map(os.path.abspath, files))
