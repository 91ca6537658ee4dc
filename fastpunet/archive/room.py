"""Whether anything can be written to an archive at all, asked before each image is drawn in vain."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def check_room(archive: Path, needed: int) -> None:
    """Raise OSError if an archive has vanished, is read-only, or has less than `needed` bytes free on its disk."""
    state = os.statvfs(archive)
    if state.f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(archive))
    if state.f_bavail * state.f_frsize < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(archive))
