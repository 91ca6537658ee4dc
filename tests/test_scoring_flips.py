"""Class flips of whole data sets: a perfect sampler is recognised, and three that are not."""

import json

import numpy as np
import pytest
import torch

from fastpunet import cli, save
from fastpunet.data import IGNORE, Record, camvid
from fastpunet.data.flips import ClassFlips, modes
from fastpunet.masks import PackedMasks
from fastpunet.models import MHeads
from fastpunet.reports.flips_comparison import FlipsComparison
from fastpunet.reports.flips_files import flips_figure, write_flips
from fastpunet.scoring.class_flips import evaluate_flips, evaluate_flips_of

FLIPS = {0: 0.5, 1: 0.25, 2: 0.2}
CLASSES, N = 4, 400  # before the flips; class 3 never flips


def streets(count=12):
    """Labels of four classes and IGNORE; every third image lacks class 2."""
    rng = np.random.default_rng(0)
    for i in range(count):
        labels = rng.integers(0, CLASSES - (i % 3 == 0) * 2, (1, 10, 10)).astype(np.uint8)
        labels[0, 0, :3] = IGNORE
        yield Record(np.zeros((1, 10, 10), np.float32), labels, i)


RECORDS = list(streets())


class Oracle:
    """Hypotheses of a record are the modes with the numbers choose(rng, n), each a whole flipped label map."""

    num_classes, max_hypotheses, device, name = CLASSES + len(FLIPS), N, torch.device("cpu"), "Oracle"

    def __init__(self, flips, choose):
        self.flipped, self.choose = ClassFlips(RECORDS, flips, CLASSES), choose

    def draw(self, records, n):
        masks = [torch.from_numpy(self.flipped[record.id].masks) for record in records]
        rngs = [np.random.default_rng(record.id) for record in records]
        chosen = torch.stack([of[self.choose(rng, n)] for of, rng in zip(masks, rngs, strict=True)])
        return PackedMasks.pack(chosen.masked_fill(chosen == IGNORE, 3), self.num_classes)


def evaluate(choose, flips=FLIPS):
    return evaluate_flips_of(Oracle(flips, choose), RECORDS, flips, CLASSES, 2 * N)


def perfect(rng, n):
    return rng.choice(8, n, p=modes(FLIPS)[1])


def test_a_perfect_sampler_scores_as_expected_everywhere():
    result = evaluate(perfect)
    assert result.n == N  # the oracle has no more
    truth = np.array(list(FLIPS.values()))
    images = result.present.sum(0)
    assert images.tolist() == [12, 12, 8]
    np.testing.assert_array_less(np.abs(result.image_frequencies().mean - truth), 4 * np.sqrt(truth / (images * N)))
    np.testing.assert_array_less(np.abs(result.pixel_frequencies().mean - truth), 6 * np.sqrt(truth / (images * N)))
    scores = result.scores()
    assert scores["total_variation"].mean == pytest.approx(scores["total_variation"].perfect, rel=0.2)
    assert scores["unbiased"].low < 0 < scores["unbiased"].high
    assert scores["value"].mean == pytest.approx(scores["value"].perfect, rel=0.5)
    found, floor = result.pooled_variation()
    assert found < 2.5 * floor
    assert (result.undecided[result.present] == 0).all()


@pytest.mark.parametrize(
    ("choose", "frequencies", "variation"),
    [
        (lambda _, n: np.zeros(n, int), [0, 0, 0], 0.7),  # never flips: 1 - P(none) = 1 - 0.3
        (lambda rng, n: 7 * (rng.random(n) < 0.3), [0.3, 0.3, 0.3], 0.675),  # all or none: 1 - P(none) - P(all)
        (lambda rng, n: perfect(rng, n) ^ 7, [0.5, 0.75, 0.8], 0.6),  # flipped for unflipped
    ],
)
def test_wrong_samplers_are_told_apart_by_the_joint_frequencies(choose, frequencies, variation):
    result = evaluate(choose)
    np.testing.assert_allclose(result.image_frequencies().mean, frequencies, atol=0.03)
    found, floor = result.pooled_variation()
    assert found == pytest.approx(variation, abs=0.04)
    assert found > 10 * floor
    assert result.scores()["unbiased"].low > 0.02


def test_all_or_none_has_the_right_frequencies_and_the_wrong_modes():
    """Classes flipped together: each as often as it should be, jointly wrong."""
    alike = dict.fromkeys(FLIPS, 0.4)
    result = evaluate(lambda rng, n: 7 * (rng.random(n) < 0.4), alike)
    np.testing.assert_allclose(result.image_frequencies().mean, 0.4, atol=0.03)
    found, floor = result.pooled_variation()
    assert found == pytest.approx(1 - 0.6**3 - 0.4**3, abs=0.03)
    assert found > 10 * floor


def test_estimates_are_those_of_a_loop():
    result = evaluate(perfect)
    for i in range(len(FLIPS)):
        kept = [frequency for frequency in result.frequencies[:, i] if not np.isnan(frequency)]
        assert result.image_frequencies().mean[i] == pytest.approx(np.mean(kept))
        pixels = result.flipped[:, i].sum() / (result.flipped[:, i] + result.kept[:, i]).sum()
        assert result.pixel_frequencies().mean[i] == pytest.approx(pixels)
    modes_found = result.modes[result.present.all(1)].mean(0)
    np.testing.assert_allclose(result.mode_frequencies().mean, modes_found)
    assert (result.image_frequencies().low < result.image_frequencies().mean).all()


def test_files_hold_the_estimates(tmp_path):
    result = evaluate(perfect)
    names = {0: "road", 1: "car", 2: "tree"}
    written = write_flips(FlipsComparison({"oracle": result}, names), tmp_path / "x")
    assert sorted(path.name for path in written) == ["x-flips.png", "x-flips.svg", "x.json", "x.md"]
    known = json.loads((tmp_path / "x.json").read_text())["oracle"]
    assert known["image_frequencies"]["mean"] == pytest.approx(result.image_frequencies().mean.tolist())
    assert known["frequencies"][0][2] is None  # the image lacks the class
    assert known["mode_classes"][5] == [0, 2]
    row = next(line for line in (tmp_path / "x.md").read_text().splitlines() if line.startswith("| car"))
    assert row.split(" | ")[1:3] == ["0.250", f"{result.image_frequencies().mean[1]:.3f}"]
    upper, lower = flips_figure({"oracle": result}, names).axes
    heights = [bar.get_height() for bar in upper.patches]
    assert heights == pytest.approx([*FLIPS.values(), *result.image_frequencies().mean])
    assert lower.lines[0].get_ydata() == pytest.approx(sorted(modes(FLIPS)[1], reverse=True))


def test_bad_input_is_named():
    model = MHeads(1, 5, (4,), heads=2)
    with pytest.raises(ValueError, match="records: got none"):
        evaluate_flips(model, [], FLIPS, CLASSES)
    with pytest.raises(ValueError, match="model: got 5 classes, expected 7"):
        evaluate_flips(model, RECORDS, FLIPS, CLASSES, n=2)


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    torch.manual_seed(0)
    save(MHeads(3, len(camvid.CLASSES) + 5, (4,), heads=3), tmp_path / "m.safetensors")
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "streets.npz",
        images=rng.integers(0, 255, (2, 8, 8, 3)).astype(np.uint8),
        labels=rng.integers(0, 11, (2, 8, 8)).astype(np.uint8),
        names=np.array(["a_1.png", "a_2.png"]),
        ignore_index=11,
    )
    command = [
        "evaluate",
        str(tmp_path / "m.safetensors"),
        "--kind",
        "camvid",
        "--class-flips",
        "--data",
        str(tmp_path / "streets.npz"),
    ]
    assert cli.main([*command, "-n", "3", "--output", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    table = (tmp_path / "out.md").read_text().split("\n\n", 1)[1].strip()
    assert table in text
    assert "| Pavement | 0.471 |" in table
    (tmp_path / "file").touch()
    assert cli.main([*command, "--output", str(tmp_path / "file" / "out")]) == 2
    assert "output: got" in capsys.readouterr().err
