"""The names under which the hypotheses of a record may be stored."""

from __future__ import annotations

from pathlib import Path

from fastpunet.data import Record
from fastpunet.data.inputs.names import safe, stem


def stored_names(record: Record, data: Path) -> list[str]:
    """The names of a record's image, the likeliest first, as `fastpunet sample` names images.

    data: the data set's file or folder, whose name with the record's number is another name of the image. A slice of a
    volume may have hypotheses of its own, or be a slice of the volume's.
    """
    own = [safe(stem(Path(record.name)))] if record.name else []
    slices = [f"{name}_slice{record.slice:03}" for name in own if record.slice is not None]
    bundle = safe(stem(data))
    return [*slices, *own, *(f"{bundle}_{record.id:0{width}}" for width in range(len(str(record.id)), 7))]
