"""What a worker does with one image: reads it, draws its hypotheses, and puts them into the archive."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastpunet.archive.committing import commit
from fastpunet.archive.layout import item_path, known, read_about
from fastpunet.archive.room import check_room
from fastpunet.archive.tries import Tries
from fastpunet.data.inputs import Input
from fastpunet.data.reading import one_line
from fastpunet.prediction.archiving.item import item_files
from fastpunet.prediction.archiving.packed import packed_bytes, packed_shape
from fastpunet.prediction.archiving.turns import Turns
from fastpunet.prediction.fitting import main_memory
from fastpunet.prediction.halving import MEMORY, RAN_OUT, ran_out
from fastpunet.prediction.opening import Outcome
from fastpunet.prediction.preparation import prepare
from fastpunet.prediction.request import Request
from fastpunet.sampler import Sampler

_SMALLER = 16  # times: what masks may shrink to when they are compressed


@dataclass(frozen=True, eq=False)
class Work:
    """Draws images into one archive. Any number of threads, processes and machines may do so at once.

    about      what all images of the archive share, as `make_root` returns it
    turns      for computing hypotheses, which bound how many threads do so at once
    tries      where processes that end are counted, if anything is made of it
    """

    sampler: Sampler
    request: Request
    archive: Path
    about: Mapping[str, Any]
    turns: Turns = field(default_factory=Turns)
    tries: Tries | None = None

    def do(self, source: Input, alive: Callable[[], None]) -> Outcome:
        """Draw one image, unless its hypotheses are there already. Whatever fails is the outcome; nothing is raised.

        alive: is called after each step; an error that it raises ends the work.
        """
        try:
            if kept := self._kept(source):
                return kept
            with nullcontext() if self.tries is None else self.tries.one(source.name):
                return self._drawn(source, alive)
        except Exception as error:  # one image among a million must not end the run
            text = RAN_OUT if ran_out(error) else one_line(error, 1000)
            if not isinstance(error, ValueError | OSError) and not ran_out(error):
                text = f"{type(error).__name__}: {text}"
            return Outcome(source.name, "failed", text if source.name in text else f"{source.name}: {text}")

    def give_up(self, source: Input, thread: threading.Thread) -> None:
        """Leave to others what a thread holds that hangs with an image."""
        self.turns.take_from(thread)
        if self.tries is not None:
            self.tries.forget(source.name)

    def memory(self, source: Input) -> int:
        """Bytes of main memory that an image takes while it is drawn, roughly."""
        method = self.sampler.method
        return main_memory(source, method, self.request, packed_bytes(source, method))

    def _kept(self, source: Input) -> Outcome | None:
        """The outcome for an image that is in the archive. Raises ValueError if it has changed since."""
        try:
            there = read_about(self.archive / item_path(source.name))
        except FileNotFoundError:
            return None
        if known(self.archive / item_path(source.name), there, "sha256", str) != source.sha256():
            raise ValueError(
                f"{source.name}: the archive has hypotheses of another image of this name; rename the image, name "
                "another archive, or pass --overwrite to replace the whole archive"
            )
        return Outcome(source.name, "kept", "its hypotheses were there already")

    def _drawn(self, source: Input, alive: Callable[[], None]) -> Outcome:
        packed = 4 * math.prod(packed_shape(source.size, self.request.n, self.sampler.num_classes))
        check_room(self.archive, packed // _SMALLER)
        prepared = prepare(source, self.sampler.method, self.request)
        alive()
        warnings = dict(prepared.warnings)

        def note(text: str) -> None:
            warnings[MEMORY] = f"{source.name}: {text}"

        files = item_files(
            self.sampler, prepared, self.request, self.about, partial(self.turns.one, alive), note, alive
        )
        commit(self.archive, source.name, files)
        return Outcome(source.name, "done", f"{self.request.n} hypotheses", warnings)
