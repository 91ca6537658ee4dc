"""Members of npz bundles."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_members(path: str | os.PathLike[str], names: tuple[str, ...]) -> list[NDArray[Any]]:
    """The members of those names, in that order; nothing in them is unpickled.

    Raises FileNotFoundError, and ValueError for a file that is truncated, is no npz or lacks a member.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"path: no file {str(path)!r}")
    try:
        bundle = np.load(file, allow_pickle=False)
        if not isinstance(bundle, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array")
        with bundle:
            return [bundle[name] for name in names]
    except KeyError as error:
        expected = f"{', '.join(names[:-1])} and {names[-1]}"
        raise ValueError(f"path: {file} has no member {error}; expected {expected}") from None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, MemoryError) as error:
        raise ValueError(f"path: {file} is truncated or not an npz bundle ({error}); copy it again") from None
