"""fastpunet info."""

from __future__ import annotations

from fastpunet.parsing import Namespace, Parser

SUMMARY = "print versions, devices, backends, and why one is missing"


def parser() -> Parser:
    return Parser(
        "fastpunet info",
        "Print versions, devices, backends (and the reason why a missing one is missing) and shipped weights.",
    )


def run(_: Namespace) -> None:
    from fastpunet.reports.info import info

    print(info())
