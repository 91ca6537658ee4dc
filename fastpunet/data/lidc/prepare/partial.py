"""Finished scans, kept in files until the bundles are written, so that an interrupted run goes on."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fastpunet.data.lidc.prepare.database import Scan
from fastpunet.data.lidc.prepare.nodules import Nodule
from fastpunet.data.lidc.prepare.records import WINDOW, Members, pack, scan_records
from fastpunet.data.lidc.prepare.series import Slice, UnreadableFiles
from fastpunet.data.npz import write_members

_LAYOUT = 2  # of the members; files of another one are made again


def convert(
    scans: list[Scan],
    groups: dict[str, tuple[list[Nodule], int]],
    series: dict[str, list[Slice]],
    partial: Path,
    spacing: float,
    size: int,
) -> int:
    """Make partial/<series_uid>.npz of scans that have none of these settings; returns how many slices are missing."""
    missing, broken = 0, []
    for done, scan in enumerate(tqdm(scans, desc="scans", unit="scan", leave=False, disable=None)):
        slices = series[scan.series_uid]
        settings = json.dumps([_LAYOUT, size, spacing, *WINDOW, len(slices)])
        path = partial / f"{scan.series_uid}.npz"
        try:
            if not _is_current(path, settings):
                records, lost = scan_records(scan, groups[scan.series_uid][0], slices, spacing, size)
                members = pack(scan, records, size, spacing)
                write_members(path, {"settings": np.array(settings), "missing": np.array(lost), **members})
            missing += int(_load(path, "missing"))
        except UnreadableFiles as error:
            broken += error.files
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped after {done} of {len(scans)} scans; run the same command again to go on"
            ) from None
    if broken:
        raise UnreadableFiles(broken)
    return missing


def write_bundles(scans: list[Scan], part_of: dict[str, str], partial: Path, bundles: dict[str, Path]) -> list[Path]:
    """The bundles of all parts that have a record, out of the finished scans, which are then removed."""
    written = []
    for part, path in bundles.items():
        files = [partial / f"{scan.series_uid}.npz" for scan in scans if part_of[scan.patient] == part]
        members = [_members(file) for file in files]
        if sum(len(each["images"]) for each in members):
            write_members(path, {name: np.concatenate([each[name] for each in members]) for name in members[0]})
            written.append(path)
    shutil.rmtree(partial)
    return written


def _members(path: Path) -> Members:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name not in ("settings", "missing")}


def _load(path: Path, name: str) -> str:
    with np.load(path, allow_pickle=False) as file:
        return str(file[name])


def _is_current(path: Path, settings: str) -> bool:
    try:
        return _load(path, "settings") == settings
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return False
