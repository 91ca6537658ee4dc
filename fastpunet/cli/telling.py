"""Says on the terminal what becomes of images, with failures and warnings on standard error, and what was found."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from fastpunet.parsing import Namespace, Parser

if TYPE_CHECKING:
    from fastpunet.prediction.opening import Outcome

_HERE = "-"  # standard output


class Teller:
    """Prints the outcomes of a command. A doubt about many images is said once, and counted."""

    def __init__(self, command: str, listed: str, *, quiet: bool = False) -> None:
        """listed: who lists all warnings, such as "summary.json lists them". quiet: leave out successes."""
        self._command, self._listed, self._quiet = command, listed, quiet
        self._warned: Counter[str] = Counter()

    def say(self, outcome: Outcome) -> None:
        for kind, warning in outcome.warnings.items():
            if not self._warned[kind]:
                print(f"{self._command}: warning: {warning}", file=sys.stderr)
            self._warned[kind] += 1
        failed = outcome.status == "failed"
        line = f"{outcome.name}: {outcome.message}" if outcome.name and not failed else outcome.message
        if self._quiet and not failed:
            return
        print(f"{self._command}: {line}" if failed else line, file=sys.stderr if failed else sys.stdout, flush=True)

    def count_warnings(self) -> None:
        """Say how many images have each kind of warning, where there are several."""
        for kind, count in self._warned.items():
            if count > 1:
                print(
                    f"{self._command}: warning: {count} images have such a warning about {kind}; {self._listed}",
                    file=sys.stderr,
                )


def add_json(parser: Parser, what: str) -> None:
    """--json [FILE]."""
    parser.add_argument(
        "--json",
        nargs="?",
        const=_HERE,
        metavar="FILE",
        help=f"write {what} as JSON to FILE; without FILE, print that in place of the text",
    )


def check_json(options: Namespace) -> None:
    """Raise ValueError, before any work, if the file cannot be written."""
    from fastpunet.reports.outputs import check_writable

    if options.json not in (None, _HERE):
        check_writable("--json", Path(options.json))


def tell(options: Namespace, text: str, content: str) -> None:
    """Print the text, and write the JSON to its file; or print the JSON alone."""
    from fastpunet.files import write_text

    print(content if options.json == _HERE else text)
    if options.json not in (None, _HERE):
        Path(options.json).parent.mkdir(parents=True, exist_ok=True)
        write_text(options.json, content + "\n")
