"""Says on the terminal what becomes of images, as it becomes known: failures and warnings on standard error."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastpunet.prediction.opening import Outcome


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
