"""Measures the calibration that is kept with a model: presence, pixels and volume against graders."""

from __future__ import annotations

import torch
from torch import Tensor

from fastpunet.data import Records
from fastpunet.masks import PackedMasks
from fastpunet.metrics import default_convention
from fastpunet.metrics.mask_sets import mask_weights, read_mask_set
from fastpunet.models import Method
from fastpunet.models.calibration import Calibration, Reliability
from fastpunet.progress import Progress
from fastpunet.scoring.drawing import draw_records
from fastpunet.scoring.measures import pixel_tables, presence_tables, top_label_tables
from fastpunet.scoring.references import References
from fastpunet.scoring.scored_batch import ScoredBatch

HYPOTHESES = 100
_LEVELS = torch.arange(1, 10, dtype=torch.float64) / 10


def measure_calibration(
    model: Method, records: Records, data: str, *, n: int = HYPOTHESES, seed: int = 0
) -> Calibration | None:
    """The calibration of a model on records that it was not trained on; None if nobody annotated any.

    data: the records in words. n: hypotheses of each image, or all that the model has. seed: of the hypotheses.
    """
    binary = model.num_classes == 1
    convention = default_convention(max(2, model.num_classes))
    sums: dict[str, Tensor] = {}
    patients: set[str] = set()
    images, drawn_of_each = 0, n
    with Progress(len(records), "measuring calibration", "image") as progress:
        for drawn in draw_records(model, records, n, seed=seed, fewer=True):
            progress.update(len(drawn.records))
            if drawn.references.masks is None:
                continue
            batch = ScoredBatch(drawn.samples, drawn.references, convention)
            tables = {"pixels": pixel_tables(batch) if binary else top_label_tables(batch)}
            if binary:
                tables |= {"presence": presence_tables(batch), "volume": volume_tables(drawn.samples, drawn.references)}
            for name, table in tables.items():
                sums[name] = sums.get(name, 0) + table.double().cpu().sum(0)
            images, drawn_of_each = images + len(drawn.records), drawn.samples.shape[1]
            patients |= {record.patient or f"image {record.id}" for record in drawn.records}
    if not images:
        return None
    return Calibration(
        data=data,
        images=images,
        patients=len(patients),
        hypotheses=drawn_of_each,
        **{name: _reliability(table) for name, table in sums.items()},
    )


def volume_tables(samples: PackedMasks, references: References) -> Tensor:
    """How often graders' volumes are below the hypotheses' quantiles of the levels 0.1 .. 0.9, of binary masks.

    float64 (B, 3, 9): 1, the level, and the share of graders. A grader's place among the hypotheses is the share of
    them that are smaller. Where some are as large, such as empty masks, it is spread evenly over them, as the
    randomised probability integral transform does on average (Czado et al. 2009, Biometrics 65, section 2).
    """
    assert references.masks is not None
    ignore = references.ignore
    own, wanted = (_volumes(masks, ignore) for masks in (samples, references.masks))
    smaller = (own[:, :, None] < wanted[:, None]).double().mean(1)  # (B, M)
    equal = (own[:, :, None] == wanted[:, None]).double().mean(1)
    levels = _LEVELS.to(smaller.device)
    below = (levels - smaller[..., None]) / equal[..., None].clamp(min=1e-12)
    below = below.clamp(0, 1)  # the share of the spread place that is below the level
    q = mask_weights(read_mask_set("references", references.masks), references.weights)
    observed = (below * q[..., None]).sum(1) / q.sum(1, keepdim=True)
    return torch.stack((torch.ones_like(observed), levels.expand_as(observed), observed), 1)


def _volumes(masks: PackedMasks, ignore: Tensor | None) -> Tensor:
    """Pixels of the foreground that count, (B, N)."""
    if ignore is None:
        return masks.area()[..., 0]
    return (masks.unpack().bool() & ~ignore[:, None]).flatten(2).sum(2)


def _reliability(table: Tensor) -> Reliability:
    """Means of the bins of a table (3, bins) of sums that have a prediction."""
    count, predicted, observed = table[:, table[0] > 0]
    return Reliability(*(tuple(values.tolist()) for values in (count, predicted / count, observed / count)))
