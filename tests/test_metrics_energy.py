"""energy_distance against a loop over pairs, against exact expectations, and against the theory of energy distances."""

import itertools
import math

import numpy as np
import pytest
import torch
from helpers import score_loops
from helpers.label_maps import maps, random_labels
from helpers.score_loops import ENERGY_TERMS
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpunet.masks import PackedMasks
from fastpunet.metrics import CONVENTIONS, Convention, convention, energy_distance
from fastpunet_kernels import iou_of_pairs, mask_iou, why_unavailable


def assert_equals_loop(result, wants):
    got = torch.stack([getattr(result, field) for field in ENERGY_TERMS], dim=1)
    assert got.dtype == torch.float64
    np.testing.assert_allclose(got.numpy(), np.array(wants), rtol=0, atol=1e-6)


RULES = {
    "kohl-lidc": CONVENTIONS["kohl-lidc"],
    "kohl-cityscapes": CONVENTIONS["kohl-cityscapes"],
    "phiseg": convention("phiseg", num_classes=4),
    "ssn": convention("ssn", num_classes=3),
    "ccdm": CONVENTIONS["ccdm"],
    "empty-zero": Convention("empty-zero", empty=0.0),
}
rules = pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())


@rules
@pytest.mark.parametrize("with_weights", ["no", "shared", "each"])
@pytest.mark.parametrize("with_ignore", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_equals_the_loop(rule, with_weights, with_ignore, packed):
    rng = np.random.default_rng(7)
    samples, references = (random_labels(rng, (3, n, 5, 7), rule.num_classes) for n in (4, 3))
    ignore = rng.random((3, 5, 7)) < 0.3 if with_ignore else None
    if ignore is not None:
        references[ignore[:, None].repeat(3, 1)] = 255
    weights = {"no": None, "shared": rng.dirichlet(np.ones(3)), "each": rng.dirichlet(np.ones(3), 3)}[with_weights]
    s, y = torch.from_numpy(samples), torch.from_numpy(references)
    if packed:
        planes = None if rule.num_classes == 2 else rule.num_classes
        s, y = PackedMasks.pack(s, planes), PackedMasks.pack(y, planes, ignore_index=255)
    result = energy_distance(
        s,
        y,
        convention=rule,
        weights=None if weights is None else torch.from_numpy(weights),
        ignore=None if ignore is None else torch.from_numpy(ignore),
    )
    each = [None] * 3 if weights is None else np.broadcast_to(weights, (3, 3))
    counted = [None] * 3 if ignore is None else ~ignore
    assert_equals_loop(
        result, [score_loops.energy(samples[i], references[i], rule, each[i], counted[i]) for i in range(3)]
    )


@rules
@pytest.mark.parametrize("ragged", ["samples", "references", "both"])
def test_ragged_sets_equal_the_loop(rule, ragged):
    rng = np.random.default_rng(8)
    sample_counts = (2, 5, 1, 3) if ragged != "references" else (3,) * 4
    reference_counts = (4, 1, 2, 3) if ragged != "samples" else (2,) * 4
    samples = [random_labels(rng, (n, 4, 9), rule.num_classes) for n in sample_counts]
    references = [random_labels(rng, (n, 4, 9), rule.num_classes) for n in reference_counts]
    s, y = [torch.from_numpy(x) for x in samples], tuple(torch.from_numpy(x) for x in references)
    result = energy_distance(
        torch.stack(s) if ragged == "references" else s, torch.stack(y) if ragged == "samples" else y, convention=rule
    )
    assert_equals_loop(result, [score_loops.energy(*pair, rule) for pair in zip(samples, references, strict=True)])


def test_ragged_weights_equal_the_loop():
    rng = np.random.default_rng(9)
    samples = [random_labels(rng, (n, 4, 9)) for n in (2, 3)]
    references = [random_labels(rng, (n, 4, 9)) for n in (3, 2)]
    weights = np.array([[0.2, 0.3, 0.5], [0.6, 0.4, 0.0]])
    s, y = ([torch.from_numpy(x) for x in sets] for sets in (samples, references))
    result = energy_distance(s, y, weights=torch.from_numpy(weights))
    wants = [
        score_loops.energy(samples[0], references[0], RULES["kohl-lidc"], weights[0]),
        score_loops.energy(samples[1], references[1], RULES["kohl-lidc"], weights[1, :2]),
    ]
    assert_equals_loop(result, wants)


@pytest.mark.parametrize(
    ("samples", "references", "value", "unbiased"),
    [
        pytest.param(maps("00"), maps("00"), 0, math.nan, id="both_empty"),
        pytest.param(maps("00", "00"), maps("00", "00"), 0, 0, id="both_empty_twice"),
        pytest.param(maps("00"), maps("01"), 2, math.nan, id="one_empty"),
        pytest.param(maps("10", "10"), maps("10", "10"), 0, 0, id="one_pixel"),
        pytest.param(maps("1100"), maps("1111"), 1, math.nan, id="half_overlap"),
        pytest.param(maps("1100"), maps("1111", "1111"), 1, math.nan, id="n_1"),
        pytest.param(maps("1100", "1100"), maps("1111"), 1, math.nan, id="one_grader"),
        pytest.param(maps("1100", "1111"), maps("1111", "1100"), 0, -0.5, id="identical_sets"),
    ],
)
def test_known_answers(samples, references, value, unbiased):
    result = energy_distance(samples, references)
    assert result.value.item() == value
    assert result.unbiased.item() == pytest.approx(unbiased, nan_ok=True)


def test_all_ignored_is_a_perfect_score_of_empty_masks_or_nan():
    everything = torch.ones(1, 1, 2, dtype=torch.bool)
    s, y = maps("11", "01"), maps("10", "00")
    assert energy_distance(s, y, ignore=everything).value.item() == 0
    assert math.isnan(energy_distance(s, y, ignore=everything, convention="kohl-cityscapes").value.item())


def test_the_default_convention_is_kohl_lidc():
    s, y = maps("00", "01"), maps("00", "11")
    assert torch.equal(energy_distance(s, y).value, energy_distance(s, y, convention="kohl-lidc").value)
    with pytest.raises(ValueError, match="convention 'kohl-lidc' has 2 classes"):
        energy_distance(s + 1, y)


def test_packed_masks_of_two_planes_have_their_foreground_in_the_second():
    s, y = maps("0011", "0111"), maps("0001", "1100")
    got = energy_distance(PackedMasks.pack(s, 2), PackedMasks.pack(y, 2))
    assert torch.equal(got.value, energy_distance(s, y).value)


def test_the_32_modes_of_cityscapes_at_the_size_of_the_paper():
    """Five switchable stripes, each flipped independently: every expectation factorises and is known exactly."""
    flip = torch.tensor([8, 7, 6, 5, 4], dtype=torch.float64) / 17
    originals, twins = torch.tensor([1, 11, 13, 8, 0]), torch.tensor([19, 20, 21, 22, 23])
    switches = torch.tensor(list(itertools.product([False, True], repeat=5)))
    weights = torch.where(switches, flip, 1 - flip).prod(1)
    stripes = torch.where(switches, twins, originals).to(torch.uint8)  # (32, 5)
    modes = stripes.repeat_interleave(16, 1)[None, :, None].expand(1, 32, 256, 80)
    result = energy_distance(modes[:, ::2], modes, convention="kohl-cityscapes", weights=weights)

    agree = (switches[:, None] == switches[None]).sum(-1).double()
    d = 1 - agree / (agree + 2 * (5 - agree))  # a stripe that differs lets two classes miss
    uniform = torch.full((16,), 1 / 16, dtype=torch.float64)
    rounded = energy_distance(modes[:, ::2], modes, convention="kohl-cityscapes", weights=weights.float())
    assert rounded.value.item() == pytest.approx(result.value.item(), abs=1e-6)
    assert result.reference_diversity.item() == pytest.approx((weights @ d @ weights).item(), abs=1e-6)
    assert result.cross.item() == pytest.approx((uniform @ d[::2] @ weights).item(), abs=1e-6)
    assert result.sample_diversity.item() == pytest.approx((uniform @ d[::2, ::2] @ uniform).item(), abs=1e-6)


# Two distributions over three masks, and every way to draw from them: expectations are sums, exact but for rounding.

MASKS = maps("1100", "0110", "0000")[0]
P, Q = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64)
D = torch.tensor([[0, 2 / 3, 1], [2 / 3, 0, 1], [1, 1, 0]], dtype=torch.float64)
TRUTH = (2 * P @ D @ Q - P @ D @ P - Q @ D @ Q).item()


def all_draws(n, probabilities):
    """Every sequence of n masks (3**n, n, H, W), and its probability (3**n,)."""
    draws = torch.cartesian_prod(*[torch.arange(len(probabilities))] * n).view(-1, n)
    return MASKS[draws], probabilities[draws].prod(1)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_u_is_unbiased_and_v_is_not_with_exact_references(n):
    samples, chance = all_draws(n, P)
    references = MASKS.expand(len(samples), -1, -1, -1)
    result = energy_distance(samples, references, weights=Q)
    assert (chance @ result.unbiased).item() == pytest.approx(TRUTH, abs=1e-6)
    assert (chance @ result.value).item() == pytest.approx(TRUTH + (P @ D @ P).item() / n, abs=1e-6)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 2), (2, 3)])
def test_u_is_unbiased_with_drawn_graders(n, m):
    samples, sample_chance = all_draws(n, P)
    references, reference_chance = all_draws(m, Q)
    chance = (sample_chance[:, None] * reference_chance).flatten()
    result = energy_distance(
        samples.repeat_interleave(len(references), 0), references.repeat(len(samples), 1, 1, 1), convention="kohl-lidc"
    )
    assert (chance @ result.unbiased).item() == pytest.approx(TRUTH, abs=1e-6)
    bias = (P @ D @ P).item() / n + (Q @ D @ Q).item() / m
    assert (chance @ result.value).item() == pytest.approx(TRUTH + bias, abs=1e-6)


@pytest.mark.parametrize("rule", ["kohl-lidc", Convention("zero", empty=0.0)], ids=str)
def test_the_expected_v_of_n_is_the_mean_over_all_choices_of_n(rule):
    """All subsets of 1 .. 6 of six samples, some of them empty, against three graders."""
    generator = torch.Generator().manual_seed(4)
    samples = (torch.rand(2, 6, 3, 3, generator=generator) < 0.3).long()
    samples[:, :2] = 0
    references = (torch.rand(2, 3, 3, 3, generator=generator) < 0.5).long()
    whole = energy_distance(samples, references, convention=rule)
    for n in range(1, 7):
        chosen = [list(places) for places in itertools.combinations(range(6), n)]
        values = [energy_distance(samples[:, places], references, convention=rule).value for places in chosen]
        torch.testing.assert_close(whole.expected(n), torch.stack(values).mean(0))
    torch.testing.assert_close(whole.expected(6), whole.value)
    with pytest.raises(ValueError, match="n: got 0"):
        whole.expected(0)


def test_the_floor_of_drawing_the_four_graders_with_replacement():
    graders = maps("110000", "011000", "111100", "000000")
    draws = torch.cartesian_prod(*[torch.arange(4)] * 4)  # all 256 ways
    result = energy_distance(graders[0, draws], graders.expand(256, -1, -1, -1))
    assert result.value.mean().item() == pytest.approx(result.reference_diversity[0].item() / 4, abs=1e-6)
    assert result.reference_diversity[0].item() == pytest.approx(2 * (2 / 3 + 1 / 2 + 1 + 1 / 2 + 1 + 1) / 16, abs=1e-6)


@pytest.mark.parametrize("name", ["kohl-lidc", "phiseg", "ssn", "ccdm"])  # where d(x, x) = 0 for all x
def test_v_is_u_plus_the_diagonals(name):
    rule = RULES[name]
    rng = np.random.default_rng(11)
    s, y = (torch.from_numpy(random_labels(rng, (4, n, 5, 7), rule.num_classes)) for n in (6, 3))
    v = energy_distance(s, y, convention=rule)
    between_s, between_y = v.sample_diversity * 6 / 5, v.reference_diversity * 3 / 2
    assert between_s.min() > 0.1  # or the identity would hold for any u
    torch.testing.assert_close(v.value, v.unbiased + between_s / 6 + between_y / 3, rtol=0, atol=1e-9)
    exact = energy_distance(s, y, convention=rule, weights=torch.full((3,), 1 / 3, dtype=torch.float64))
    torch.testing.assert_close(exact.value, exact.unbiased + between_s / 6, rtol=0, atol=1e-9)


@rules
def test_identical_sets_have_distance_zero(rule):
    labels = torch.from_numpy(random_labels(np.random.default_rng(12), (3, 5, 4, 9), rule.num_classes))
    result = energy_distance(labels, labels, convention=rule)
    assert result.value.tolist() == [0, 0, 0]
    assert (result.cross > 0.1).all()


def test_a_reference_of_weight_zero_is_as_if_absent():
    labels = torch.from_numpy(random_labels(np.random.default_rng(13), (2, 4, 4, 9), 24))
    weights = torch.tensor([0.0, 0.5, 0.25, 0.25])
    got = energy_distance(labels, labels, convention="kohl-cityscapes", weights=weights)
    want = energy_distance(labels, labels[:, 1:], convention="kohl-cityscapes", weights=weights[1:])
    for field in ENERGY_TERMS:
        torch.testing.assert_close(getattr(got, field), getattr(want, field), rtol=0, atol=1e-12)


@st.composite
def two_sets(draw, num_classes):
    """Small ragged-free sets over the same few pixels: collisions, empty masks and duplicates are common."""
    n, m, pixels = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 6))
    label = st.integers(0, num_classes - 1)
    labels = draw(st.lists(label, min_size=(n + m) * pixels, max_size=(n + m) * pixels))
    both = torch.tensor(labels, dtype=torch.uint8).view(1, n + m, 1, pixels)
    return both[:, :n], both[:, n:]


def weights_of(data, m):
    raw = data.draw(st.lists(st.integers(0, 5), min_size=m, max_size=m).filter(any))
    return torch.tensor(raw, dtype=torch.float64) / sum(raw)


@settings(max_examples=60, deadline=None)
@given(sets=two_sets(2), data=st.data())
def test_binary_v_is_a_squared_distance(sets, data):
    """The Jaccard distance is of negative type, so D^2 >= 0 under V, for weighted references too."""
    samples, references = sets
    result = energy_distance(samples, references)
    assert -1e-6 <= result.value.item() <= 2
    weighted = energy_distance(samples, references, weights=weights_of(data, references.shape[1]))
    assert -1e-6 <= weighted.value.item() <= 2
    for field in ("cross", "sample_diversity", "reference_diversity"):
        assert 0 <= getattr(result, field).item() <= 1


@settings(max_examples=40, deadline=None)
@given(sets=two_sets(4))
def test_a_mean_over_classes_keeps_v_non_negative(sets):
    assert energy_distance(*sets, convention=convention("ccdm", num_classes=4)).value.item() >= -1e-6


@settings(max_examples=40, deadline=None)
@given(sets=two_sets(3), data=st.data())
def test_symmetric_and_blind_to_order_and_repetition(sets, data):
    samples, references = sets
    rule = Convention("all classes, NaN", num_classes=3, classes=(0, 1, 2), empty=math.nan)
    result = energy_distance(samples, references, convention=rule)
    order = data.draw(st.permutations(range(samples.shape[1])))
    shuffled = energy_distance(samples[:, order], references, convention=rule)
    swapped = energy_distance(references, samples, convention=rule)
    repeated = energy_distance(samples.repeat(1, 3, 1, 1), references, convention=rule)
    for other in (shuffled, swapped, repeated):
        assert other.value.item() == pytest.approx(result.value.item(), abs=1e-6)
    assert shuffled.unbiased.item() == pytest.approx(result.unbiased.item(), abs=1e-6, nan_ok=True)
    assert swapped.unbiased.item() == pytest.approx(result.unbiased.item(), abs=1e-6, nan_ok=True)


@pytest.mark.gpu
def test_gpu_gives_what_the_cpu_gives():
    rng = np.random.default_rng(14)
    samples, references = (
        [torch.from_numpy(random_labels(rng, (n, 33, 35), 24)) for n in ns] for ns in ((9, 3), (2, 4))
    )
    ignore, weights = torch.from_numpy(rng.random((2, 33, 35)) < 0.2), torch.tensor([[0.5, 0.5, 0, 0], [0.25] * 4])
    want = energy_distance(samples, references, convention="kohl-cityscapes", weights=weights, ignore=ignore)
    got = energy_distance(
        [s.cuda() for s in samples],
        [y.cuda() for y in references],
        convention="kohl-cityscapes",
        weights=weights.cuda(),
        ignore=ignore.cuda(),
    )
    for field in ENERGY_TERMS:
        assert getattr(got, field).is_cuda
        torch.testing.assert_close(getattr(got, field).cpu(), getattr(want, field), rtol=0, atol=1e-6)


@pytest.mark.parametrize("classes", [3, 4, 8, 12])
def test_one_sample_has_no_unbiased_value_however_its_distance_rounds(classes):
    sample = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    sample[..., 0] = 1
    rule = Convention("mine", classes, None, 0.0)
    result = energy_distance(sample, torch.ones(1, 2, 4, 4, dtype=torch.uint8), convention=rule)
    assert math.isnan(result.unbiased.item())
    assert result.value.isfinite().all()


class TestRandomPairs:
    """`energy_distance(pairs=...)`: an estimate with a margin, or the exact value and none."""

    samples = torch.rand(2, 300, 6, 6, generator=torch.Generator().manual_seed(0)) < torch.rand(
        300, 1, 1, generator=torch.Generator().manual_seed(1)
    )
    graders = samples[:, :3]

    @pytest.mark.parametrize("backend", ["native", "reference"])
    def test_the_estimate_is_the_mean_over_the_pairs(self, backend):
        first, second = torch.tensor([0, 5, 5, 299]), torch.tensor([1, 5, 7, 0])
        masks = PackedMasks.pack(self.samples).words
        if backend == "native" and why_unavailable("native", masks.device):
            pytest.skip("no native kernels")
        found = iou_of_pairs(masks, first, second, 0.5, backend=backend)
        every = mask_iou(masks, masks, 0.5).double()[:, first, second]
        torch.testing.assert_close(found, every, rtol=0, atol=1e-7)

    @pytest.mark.parametrize("rule", ["kohl-lidc", Convention("empty zero", empty=0.0)])
    def test_the_exact_value_is_within_the_margin(self, rule):
        exact = energy_distance(self.samples, self.graders, convention=rule)
        assert exact.margin.tolist() == [0, 0]
        widths = []
        for pairs in (100, 1000, 40_000):
            found = energy_distance(self.samples, self.graders, convention=rule, pairs=pairs)
            for name in ("value", "unbiased", "sample_diversity", "different_samples"):
                assert ((getattr(found, name) - getattr(exact, name)).abs() <= found.margin).all()
            assert torch.equal(found.cross, exact.cross)
            torch.testing.assert_close(found.same_sample, exact.same_sample, rtol=1e-12, atol=1e-12)
            widths.append(found.margin.max().item())
        assert widths[0] > widths[1] > widths[2] > 0
        assert not torch.equal(found.value, exact.value)

    def test_a_million_pairs_have_a_margin_of_three_thousandths_at_most(self):
        """Masks of one pixel: d is 0 or 1, each for half of the pairs, the largest variance that there is."""
        masks = torch.rand(1, 1500, 1, 1, generator=torch.Generator().manual_seed(2)) < 0.5
        assert 0.0027 < energy_distance(masks, masks[:, :1], pairs=10**6).margin.item() < 0.003

    def test_it_is_exact_where_it_cannot_be_estimated(self):
        weights = torch.full((300,), 1 / 300)
        for options in (
            {"pairs": 300 * 299 // 2},
            {"pairs": 100, "sample_weights": weights},
            {"pairs": 100, "convention": Convention("dice", overlap="dice")},
            {"pairs": 100, "convention": Convention("empty nan", empty=math.nan)},
        ):
            found = energy_distance(self.samples, self.graders, **options)
            options.pop("pairs")
            assert torch.equal(found.value, energy_distance(self.samples, self.graders, **options).value)
            assert found.margin.tolist() == [0, 0]

    def test_the_number_of_pairs_is_checked(self):
        with pytest.raises(ValueError, match="pairs: got 1, expected a whole number of at least 2"):
            energy_distance(self.samples, self.graders, pairs=1)

    def test_the_number_may_be_a_tensor_without_axes(self):
        found = energy_distance(self.samples, self.graders, pairs=torch.tensor(5))
        assert found.value.equal(energy_distance(self.samples, self.graders, pairs=5).value)
