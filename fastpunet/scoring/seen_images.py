"""Which images of a data set a model was trained on: there its scores are better than on others."""

from __future__ import annotations

from fastpunet.data import Records
from fastpunet.models.training_images import TrainingImages


def seen_images(known: TrainingImages | None, records: Records) -> str:
    """How many of the records' images a model was trained on, in words; empty if none, or if that is unknown.

    known: the model's `training_images`. Images are recognised by their pixels, in the form that the model takes.

    >>> from fastpunet.data.lesions import SyntheticLesions
    >>> records = SyntheticLesions(4, seed=1)
    >>> known = TrainingImages.of(records[k].image for k in range(3))
    >>> seen_images(known, records), seen_images(None, records)
    ('3 of these 4 images', '')
    """
    count = 0 if known is None else sum(record.image in known for record in records)
    if known is None or not count:
        return ""
    return f"{'' if known.complete else 'at least '}{count} of these {len(records)} images"
