"""What is known of some data: facts, and findings that somebody should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fastpunet.arguments import named_argument
from fastpunet.data.reading import one_line

_SHOWN = 6  # values of one kind on a line


@dataclass
class Report:
    """Facts in the order in which they are shown; problems would break or falsify work, notes need not."""

    facts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)  # what is known of each image

    def problem(self, text: str) -> None:
        """Add a problem, once."""
        if text not in self.problems:
            self.problems.append(text)

    def failure(self, error: Exception | str) -> None:
        """Add what an error says as a problem, without the name of the argument that it begins with."""
        self.problem(named_argument(one_line(error, 1000))[1])

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def add(self, other: Report, prefix: str = "") -> None:
        """Add the facts of another report, with a prefix to their names, and its findings."""
        self.facts.update({prefix + name: fact for name, fact in other.facts.items()})
        for problem in other.problems:
            self.problem(problem)
        for note in other.notes:
            self.note(note)

    def text(self) -> str:
        """A table of the facts, then the findings, one on a line."""
        width = max(map(len, self.facts), default=0)
        lines = [f"{name:<{width}}  {value}" for name, value in self.facts.items()]
        lines += [*([""] if self.notes else []), *(f"note: {note}" for note in self.notes)]
        lines += ["", *(f"problem: {problem}" for problem in self.problems)]
        return "\n".join([*lines, *([] if self.problems else ["nothing suspicious"])])

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"facts": self.facts, "problems": self.problems, "notes": self.notes, "images": self.images}


def counted(values: Iterable[str]) -> str:
    """Each value with the number of times that it occurs, the most frequent first.

    >>> counted(["64 x 64", "32 x 32", "64 x 64"]), counted(["1", "1"])
    ('64 x 64 (2), 32 x 32 (1)', '1')
    """
    found = Counter(values).most_common()
    if len(found) == 1:
        return found[0][0]
    shown = [f"{value} ({count})" for value, count in found[:_SHOWN]]
    return ", ".join([*shown, *([f"and {len(found) - _SHOWN} others"] if len(found) > _SHOWN else [])])


def listed(names: Iterable[str]) -> str:
    """Some names, and how many more there are.

    >>> listed(["a", "b"]), listed("abcdefgh")
    ('a, b', 'a, b, c, d, e, f and 2 more')
    """
    names = list(names)
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def several(count: int, thing: str) -> str:
    """A number of things.

    >>> several(1, "image"), several(0, "image")
    ('1 image', '0 images')
    """
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def size_text(size: Iterable[int]) -> str:
    """A size as people write it: 128 x 96."""
    return " x ".join(map(str, size))
