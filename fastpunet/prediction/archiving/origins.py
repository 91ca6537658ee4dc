"""What an archive was drawn from: its model and its images, where they are now."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastpunet.archive.layout import Entry, known
from fastpunet.archive.samples import StoredSamples
from fastpunet.data.inputs import Input
from fastpunet.data.inputs.finding import look
from fastpunet.data.inputs.found import other_names
from fastpunet.data.reading import one_line
from fastpunet.intensity import Intensity
from fastpunet.prediction.archiving.threads import check_threads
from fastpunet.prediction.opening import open_model
from fastpunet.prediction.request import Request


class Origins:
    """The model and the images that an archive was drawn from. Both are compared by their SHA-256.

    request  that of the archive, with the changes
    threads  with which images were computed on a CPU
    opened   the model

    model: where it is now; None: where it was. changes: other values for fields of the request. Raises ValueError for a
    damaged archive and for another model than the archive's, and FileNotFoundError if the model is not there.
    """

    def __init__(
        self,
        samples: StoredSamples,
        *,
        model: str | os.PathLike[str] | None = None,
        device: str = "auto",
        **changes: Any,
    ) -> None:
        self.samples = samples
        try:
            self.request = _request(samples.about["request"], changes)
            source, digest = os.fspath(samples.about["model"]["source"]), str(samples.about["model"]["sha256"])
            self.threads = check_threads(samples.about["request"]["threads"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"archive: {samples.path} is damaged ({one_line(error)})") from None
        place = os.fspath(source if model is None else model)
        try:
            self.opened = open_model(place, self.request, device)
        except FileNotFoundError:
            raise FileNotFoundError(
                f"model: {place!r} is not there, and {samples.path} was drawn from it; say where it is with --model"
                if model is None
                else f"model: no file {place!r}, and no shipped weights of that name"
            ) from None
        if self.opened.about["model"]["sha256"] != digest:
            raise ValueError(
                f"model: {place} is not the model of {samples.path} (SHA-256 {digest[:12]}...); name that one with "
                "--model"
            )
        self._at = lru_cache(maxsize=1)(lambda files: look(files).inputs)  # one file may hold many images

    def image_of(self, name: str) -> Input:
        """The image of an item, under the item's name, where it was. Raises ValueError if it is not there."""
        files = tuple(map(Path, self._known(name, "files", list)))
        found = self._at(files) if all(file.is_file() for file in files) else []
        its = [source for source in found if len(found) == 1 or source.name == name]
        if not its:
            raise ValueError(f"{name}: its image {files[0]} is not there; name its present file")
        self.check_same(its[0], name)
        return replace(its[0], name=name)

    def item_of(self, source: Input) -> Input:
        """An image that is elsewhere now, under the name of its item. Raises ValueError if there is none."""
        names = [name for name in (source.name, *other_names(source)) if name in self.samples]
        if not names:
            raise ValueError(f"{source.name}: {self.samples.path} has no hypotheses of an image of this name")
        name = next((name for name in names if self._is_that_of(name, source)), None)
        if name is None:
            raise self._another(source, names[0])
        return replace(source, name=name)

    def check_same(self, source: Input, name: str) -> None:
        """Raise ValueError for another image than that of which there are hypotheses under this name."""
        if not self._is_that_of(name, source):
            raise self._another(source, name)

    def _is_that_of(self, name: str, source: Input) -> bool:
        return source.sha256() == self._known(name, "sha256", str)

    def _known(self, name: str, key: str, kind: type[Entry]) -> Entry:
        stored = self.samples[name]
        return known(stored.path, stored.about, key, kind)

    def _another(self, source: Input, name: str) -> ValueError:
        return ValueError(f"{name}: {source.files[0]} has changed since {self.samples.path} was drawn")


def _request(asked: Mapping[str, Any], changes: Mapping[str, Any]) -> Request:
    """The request of an archive, with some values changed."""
    values = {field.name: asked[field.name] for field in fields(Request) if field.name in asked}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    rule = None if values["intensity"] is None else Intensity.parse(values["intensity"])
    return Request(**{**values, **lists, "intensity": rule, **changes})
