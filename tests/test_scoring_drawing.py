"""Drawing a data set: batches bounded in bytes, calls bounded in pixels, ids of the records."""

import numpy as np
import pytest
import torch

from fastpunet import load, sample
from fastpunet.data import IGNORE, Record
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.scoring import batches as batching
from fastpunet.scoring import sources
from fastpunet.scoring.batches import batches
from fastpunet.scoring.drawing import draw_records
from fastpunet.scoring.references import References


def record(id, graders=2, size=(4, 5), weights=None):
    return Record(np.zeros((1, *size), np.float32), np.zeros((graders, *size), np.uint8), id, "", weights)


def numbers(found):
    return [[one.id for one in batch] for batch in found]


def test_batches_hold_records_of_one_frame_in_order():
    kinds = [{}, {}, {"graders": 3}, {"size": (5, 4)}, {}, {"weights": np.float32([0.5, 0.5])}, {"graders": 0}]
    records = [record(i, **kind) for i, kind in enumerate(kinds)]
    assert numbers(batches(records, 4, "cpu")) == [[0, 1], [2], [3], [4], [5], [6]]


def test_batches_are_bounded_in_bytes_and_images(monkeypatch):
    records = [record(i) for i in range(40)]
    assert [len(batch) for batch in batches(records, 1, "cpu")] == [32, 8]
    assert [len(batch) for batch in batches(records, 1, "cpu", 15)] == [15, 15, 10]
    monkeypatch.setattr(batching, "_BYTES", {"cpu": 7 * 20 * (8 + 2)})  # seven records of 20 pixels, 8 + 2 masks
    assert [len(batch) for batch in batches(records, 8, "cpu", 39)] == [7, 7, 7, 7, 7, 5]
    assert [len(batch) for batch in batches(records, 10**6, "cpu", 39)] == [1] * 40


def test_hypotheses_are_those_of_the_records_ids_whatever_the_calls(monkeypatch):
    model, records = load("lesions"), SyntheticLesions(3, seed=2, size=32)[:]
    images = torch.stack([torch.from_numpy(one.image) for one in records])
    expected = sample(model, images, 9, seed=5, ids=torch.tensor([one.id for one in records]))
    chunks = []
    real = sources.Sampler.sample

    def spy(self, *args, **options):
        chunks.append(options["chunk"])
        return real(self, *args, **options)

    monkeypatch.setattr(sources.Sampler, "sample", spy)
    for limit, chunk in ((1 << 24, None), (3 * 32 * 32 * 2, 2)):
        monkeypatch.setattr(sources, "_CHUNK_PIXELS", {"cpu": limit})
        (drawn,) = draw_records(model, records, 9, seed=5)
        assert torch.equal(drawn.samples.unpack(), expected)
        assert chunks[-1] == chunk
    alone = [drawn.samples.unpack()[0] for drawn in draw_records(model, records[::-1], 9, seed=5, batch_size=1)]
    assert (torch.stack(alone[::-1]) != expected).float().mean() < 1e-4  # but for rounding


def test_references_are_packed_with_ignored_pixels_apart():
    masks = np.array([[[0, 1], [2, IGNORE]], [[1, 1], [IGNORE, 0]]], np.uint8)
    known = References.of([Record(np.zeros((1, 2, 2), np.float32), masks, 0)], 3, torch.device("cpu"))
    assert known.ignore.tolist() == [[[False, False], [True, True]]]
    assert known.masks.unpack().tolist() == [[[[0, 1], [0, 0]], [[1, 1], [0, 0]]]]
    assert known.graders == 2
    assert known.weights is None
    with pytest.raises(ValueError, match=r"the masks of slice 4 of scan.nii have the label 2, but the model has .* 1;"):
        References.of(
            [Record(np.zeros((1, 2, 2), np.float32), masks, 0, name="scan.nii", slice=4)], 1, torch.device("cpu")
        )
