"""Hypotheses scored against a known distribution by `benchmarks.known_modes`."""

import json
import sys

import numpy as np
import pytest
import torch

from benchmarks import known_modes
from benchmarks.known_modes import exact_source, score, tables
from fastpunet import load
from fastpunet.data.lesion_pairs import MODES, SyntheticLesionPairs
from fastpunet.data.synthetic_sets import SYNTHETIC_SETS
from fastpunet.scoring.stored import Stream

N = 200
PAIRS = SyntheticLesionPairs(6, seed=1, size=32)[:]
KNOWN = np.stack([record.weights for record in PAIRS])


def always(mask):
    """Hypotheses that are all one mask (H, W) of the record."""
    return Stream((torch.from_numpy(mask(record)).expand(1, N, -1, -1) for record in PAIRS), N)


@pytest.mark.parametrize("make", SYNTHETIC_SETS.values())
def test_the_known_distribution_is_all_but_perfect(make):
    records = make(6, seed=1, size=32)[:]
    found = score(exact_source(records, N), records, N)
    summary = found.summary()
    assert summary["presence: mean error, points"] < 3.5  # one standard deviation is at most 3.5
    assert summary["share of a mode: mean error, points"] < 3.5
    assert summary["hypotheses near to no mode, %"] == 0
    assert summary["images whose likely modes are all found, %"] == 100
    assert summary["probability of a likely mode: mean error, points"] < 3.5
    assert abs(summary["energy distance (U)"]) < 0.01
    np.testing.assert_allclose(found.mode_shares, found.shares, atol=0.02)  # a mode rarer than that is no mode


def test_left_and_right_are_not_nested_but_both_contain_either():
    _, left, right, both = KNOWN.T
    expected = (left + right) * both / ((left + right) * both + left * right)
    found = score(exact_source(PAIRS, 1000), PAIRS, 1000)
    np.testing.assert_allclose(found.nestedness, expected, atol=0.06)
    assert found.nestedness.max() < 0.9


def test_hypotheses_that_are_all_empty():
    found = score(always(lambda record: record.masks[0]), PAIRS, N)
    summary = found.summary()
    assert summary["presence: mean error, points"] == pytest.approx(100 * KNOWN[:, 1:].sum(1).mean())
    errors = np.abs(np.eye(4)[0] - KNOWN)
    assert summary["share of a mode: mean error, points"] == pytest.approx(100 * errors.mean())
    likely = KNOWN >= 0.05
    assert summary["probability of a likely mode: mean error, points"] == pytest.approx(100 * errors[likely].mean())
    assert summary["images whose likely modes are all found, %"] == 0
    assert np.isnan(summary["nestedness"])


def test_hypotheses_like_no_mode():
    found = score(always(lambda record: 1 - record.masks[3]), PAIRS, N)
    np.testing.assert_array_equal(found.shares, [[0, 0, 0, 0, 1]] * len(PAIRS))
    np.testing.assert_array_equal(found.mode_shares, found.shares)
    assert found.summary()["presence: mean error, points"] == pytest.approx(100 * KNOWN[:, 0].mean())
    assert tables({"none": found}, MODES).endswith("| none of them | 100.0 |")


def test_on_the_command_line(tmp_path, capsys, monkeypatch):
    file = tmp_path / "found.json"
    command = ["known_modes", "lesion-pairs", "lesions", "--images", "2", "--n", "20", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", command)
    known_modes.main()
    out = capsys.readouterr().out
    assert out.startswith(f"lesion-pairs: 2 images of {load('lesions').image_size[0]} x 64, 20 hypotheses each")
    assert "| share of hypotheses, % | known distribution | lesions |" in out
    content = json.loads(file.read_text())
    assert np.shape(content["models"]["lesions"]["shares"]) == (2, 5)
