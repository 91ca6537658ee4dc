"""Fuzzes one target in this process: `python -m fuzzing.worker TARGET FOLDER SECONDS`; `run.py` starts it."""

from __future__ import annotations

import hashlib
import resource
import sys
import tempfile
import time
from pathlib import Path

import atheris

from fuzzing import readers

SLOWEST_S, MOST_MB = 10, 1024  # of the processor's time, and beyond what the process holds before
_HANGING_S = 120  # of the clock, on a busy machine: the process is ended
_LONGEST_INPUT = 1 << 16  # bytes


def main(name: str, folder: Path, seconds: int) -> None:
    sys.dont_write_bytecode = True
    with atheris.instrument_imports(include=list(readers.instrumented(name)), enable_loader_override=False):
        from fuzzing.contract import Finding, check

        target = readers.target(name)
        seeds = [*target.seeds(), *target.kept()]
    corpus, found = folder / "corpus", folder / "findings"
    for place in (corpus, found):
        place.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    known: set[str] = {path.name for path in found.iterdir()}
    with tempfile.TemporaryDirectory() as place:

        def once(data: bytes) -> None:
            path, started = target.write(data, Path(place)), time.process_time()
            finding = check(target.read, path, target.refusals)
            if time.process_time() - started > SLOWEST_S:
                finding = Finding("slow", f"{time.process_time() - started:.0f} s of the processor's time")
            if finding is None:
                return
            label = hashlib.sha1(finding.kind.encode()).hexdigest()[:12]
            if f"{label}.txt" not in known:
                known.add(f"{label}.txt")
                (found / f"{label}.bin").write_bytes(data)
                (found / f"{label}.txt").write_text(f"{finding.kind}\n{finding.report}\n", encoding="utf-8")

        for seed in seeds:
            once(seed)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        options = {
            "max_total_time": seconds,
            "timeout": _HANGING_S,
            "rss_limit_mb": used + MOST_MB,
            "max_len": _LONGEST_INPUT,
            "artifact_prefix": f"{found}/killed-",
            "print_final_stats": 1,
            "reload": 0,
        }
        atheris.Setup([name, str(corpus), *(f"-{key}={value}" for key, value in options.items())], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
