"""Begins an archive, or goes on with one, so that its images are those of one request, each under one name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fastpunet.archive.layout import item_path, known, read_about
from fastpunet.archive.root import is_archive, make_root
from fastpunet.data.inputs import Input
from fastpunet.data.inputs.found import other_names
from fastpunet.prediction.folders import alone, differences


def begin(
    path: Path, about: Mapping[str, Any], sources: Iterable[Input], *, overwrite: bool, skip_existing: bool
) -> dict[str, Any]:
    """Make an archive, or go on with one of the same request, and return what all of its images share.

    Raises ValueError, saying what to do, for something else at the path, for an archive that is neither replaced nor
    gone on with, for one of another request or model, and for one that has one of the images under another name.
    """
    asked = json.loads(json.dumps(about))
    there_already = is_archive(path)
    if there_already and overwrite:
        with alone(path):
            shutil.rmtree(path)
    elif there_already and not skip_existing:
        raise ValueError(f"output: {path} exists; pass --skip-existing to go on with it, or --overwrite to replace it")
    elif not there_already and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"output: {path} exists, but is not an archive of fastpunet sample; name another")
    there = make_root(path, asked)
    if changed := differences({**there, "sha256": None}, {**asked, "sha256": None}):
        raise ValueError(
            f"output: {path} was made with other settings: {', '.join(changed)}; name another archive, or pass "
            "--overwrite to replace it"
        )
    if there_already and not overwrite:
        for source in sources:
            _check_name(path, source)
    return there


def mixture(path: Path, there: Mapping[str, Any], about: Mapping[str, Any]) -> str | None:
    """A warning about an archive that was begun by another backend than goes on now; None if it is the same."""
    then, now = known(path, there, "computed", dict), about["computed"]
    changed = [f"{key} {then.get(key)} then, {now[key]} now" for key in now if then.get(key) != now[key]]
    if not changed:
        return None
    return (
        f"{path} was begun with another backend ({', '.join(changed)}), whose rounding may differ in a few pixels; "
        "each image says on which one it was computed"
    )


def _check_name(path: Path, source: Input) -> None:
    """Raise ValueError if an image that is not there yet is there under another name."""
    if (path / item_path(source.name)).exists():
        return
    for name in other_names(source):
        try:
            about = read_about(path / item_path(name))
        except FileNotFoundError:
            continue
        files = map(os.path.basename, known(path / item_path(name), about, "files", list))
        if list(files) == [file.name for file in source.files] and about.get("sha256") == source.sha256():
            raise ValueError(
                f"output: {path} has {source.files[0]} under the name {name}, but among these inputs its name is "
                f"{source.name}; give the same inputs as before, or name another archive"
            )
