"""Hypotheses that anybody has stored, or draws in a loop of their own, as sources for evaluation.

To read another layout, write a function beside those of `files` and list it in `files.READERS`.
"""

from fastpunet.scoring.stored.archive import StoredArchive
from fastpunet.scoring.stored.folder import StoredFolder
from fastpunet.scoring.stored.opening import open_stored
from fastpunet.scoring.stored.stack import StoredStack
from fastpunet.scoring.stored.stream import Stream

__all__ = ["StoredArchive", "StoredFolder", "StoredStack", "Stream", "open_stored"]
