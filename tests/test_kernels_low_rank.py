"""Hypotheses of low-rank normal logits: every backend and instruction set against loops, float64 and the reference."""

import random

import pytest
import torch
from decode_problems import COMPILED, exact_normal
from torch import library

from fastpunet_kernels import (
    OUTPUTS,
    LowRankLogits,
    Sums,
    draw_low_rank,
    draw_low_rank_sums,
    finish,
    low_rank,
    philox_normal,
    unpack_bits,
)
from fastpunet_kernels.native import launch

CAPABILITIES = [] if launch.kernels is None else launch.kernels.CAPABILITIES[: launch.capability() + 1]
BACKENDS = ["reference", "triton", *CAPABILITIES]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SEED = 2**62 + 2**33 + 5


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    """Every backend that this machine has, the native one once for every instruction set."""
    if request.param == "triton":
        pytest.importorskip("triton")
    if request.param in CAPABILITIES:
        monkeypatch.setattr(launch, "capability", lambda: CAPABILITIES.index(request.param))
        return "native"
    return request.param


def problem(images=2, classes=1, rank=3, pixels=205, n=5, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(images, classes, pixels, generator=generator) * scale
    factor = torch.randn(images, rank, classes, pixels, generator=generator) * scale / rank**0.5
    sigma = torch.rand(images, classes, pixels, generator=generator) * scale
    ids = torch.tensor([2**63 - 1, 5, 2**40 + 3])[:images]
    return LowRankLogits(mean, factor, sigma), torch.randn(images, n, rank, generator=generator), ids


def compiled(classes, backend):
    """As many classes, or where variants of kernels take time to compile, one or 5."""
    return 5 if classes > 1 and COMPILED and backend == "triton" else classes


def at(backend, draw, normal, e, ids, **options):
    """What `draw` returns, computed on a device of the backend, on the CPU."""
    device = DEVICE if backend == "triton" else torch.device("cpu")
    there = LowRankLogits(*(part.to(device) for part in normal)), e.to(device), ids.to(device)
    found = draw(*there, backend=backend, **options)
    return Sums(*(part.cpu() for part in found)) if isinstance(found, Sums) else found.cpu()


def exact_logits(normal, e, ids, seed, first):
    """In float64: (B, n, K, P)."""
    mean, factor, sigma = (part.double() for part in normal)
    planes = [exact_normal(seed ^ (c + 1) << 48, ids, first, e.shape[1], mean.shape[2]) for c in range(mean.shape[1])]
    return mean[:, None] + torch.einsum("brkp,bnr->bnkp", factor, e.double()) + sigma[:, None] * torch.stack(planes, 2)


def check(normal, e, ids, backend, seed=SEED, first=3):
    """All outputs and sums against float64, and against each other."""
    exact = exact_logits(normal, e, ids, seed, first)
    drawn = {
        output: at(backend, draw_low_rank, normal, e, ids, seed=seed, first=first, output=output) for output in OUTPUTS
    }
    mean, factor, sigma = normal
    size = mean.abs() + torch.einsum("brkp,bnr->bnkp", factor.abs(), e.abs()).amax(1) + sigma * low_rank.FARTHEST
    allowed = 2e-6 * size[:, None]
    assert ((drawn["logits"] - exact).abs() <= allowed).all()
    expected = finish(exact.movedim(2, -1).flatten(0, 1), "probs").unflatten(0, exact.shape[:2])
    assert ((drawn["probs"] - expected).abs() <= allowed.amax(2, keepdim=True) + 1e-6).all()
    logits, classes = drawn["logits"], exact.shape[2]
    labels = (logits[:, :, 0] > 0).byte() if classes == 1 else logits.argmax(2).byte()
    top = exact.sort(2).values
    margin = exact[:, :, 0].abs() if classes == 1 else top[:, :, -1] - top[:, :, -2]
    clear = margin > 2 * allowed.amax(2)
    certain = (exact[:, :, 0] > 0) if classes == 1 else exact.argmax(2)
    for found in (labels, drawn["labels"]):
        assert torch.equal(found[clear].long(), certain[clear].long())
    planes = [1] if classes == 1 else range(classes)
    members = torch.stack([drawn["labels"] == label for label in planes], 2)
    assert torch.equal(unpack_bits(drawn["bits"], exact.shape[3]), members)
    sums = at(backend, draw_low_rank_sums, normal, e, ids, seed=seed, first=first)
    torch.testing.assert_close(sums.probability, drawn["probs"].double().sum(1), rtol=1e-5, atol=1e-5)
    entropy = torch.special.entr(expected).sum(2)
    if classes == 1:
        entropy = entropy + torch.special.entr(1 - expected)[:, :, 0]
    torch.testing.assert_close(sums.entropy, entropy.sum(1), rtol=1e-4, atol=1e-4)
    assert (sums.volume - members.sum(3)).abs().max() <= (~clear).sum()


@pytest.mark.parametrize(("classes", "rank", "pixels"), [(1, 1, 1), (1, 10, 300), (3, 2, 70), (20, 1, 33)])
def test_draws_are_those_of_float64(backend, classes, rank, pixels):
    check(*problem(classes=compiled(classes, backend), rank=rank, pixels=pixels, n=4), backend)


@pytest.mark.parametrize(("classes", "pixels"), [(4, 600), (5, 300)])
def test_volumes_of_images_of_one_class(backend, classes, pixels):
    """A program of the GPU counts as many pixels as it has, 256 and 128 of these, in fields of a word."""
    normal, e, ids = problem(images=1, classes=classes, rank=1, pixels=pixels, n=classes, scale=0.1)
    for label in range(classes):
        shifted = normal._replace(mean=normal.mean + 100 * torch.eye(classes)[label, :, None])
        volume = at(backend, draw_low_rank_sums, shifted, e, ids, seed=1, first=0).volume
        assert torch.equal(volume, pixels * torch.eye(classes)[label].long().expand(1, classes, classes))


def test_random_problems(backend):
    rng = random.Random(backend)
    for index in range(3 if backend == "triton" else 40):
        sizes = {
            "images": rng.randint(1, 3),
            "classes": compiled(rng.choice((1, 1, 2, 3, 7, 33)), backend),
            "rank": rng.randint(1, 12),
            "pixels": int((150 if backend == "triton" else 700) ** rng.random()),
            "n": rng.randint(1, 6),
        }
        normal, e, ids = problem(**sizes, seed=index, scale=10 ** rng.uniform(-3, 3))
        check(normal, e, ids, backend, seed=rng.getrandbits(63), first=rng.choice((0, 1, 2**32 - 2, 2**31)))


def test_a_hypothesis_has_the_same_bits_in_any_company(backend):
    few = backend == "triton"  # whose interpreter is slow
    for classes, output in ((1, "bits"), (compiled(3, backend), "logits")):
        normal, e, ids = problem(images=2, classes=classes, n=9, pixels=40 if few else 500)

        def draw(normal, e, ids, first, output=output):
            return at(backend, draw_low_rank, normal, e, ids, seed=4, first=first, output=output)

        whole = draw(normal, e, ids, 0)
        for first, n in ((2, 1),) if few else ((0, 4), (2, 1), (3, 6)):
            assert torch.equal(draw(normal, e[:, first : first + n], ids, first), whole[:, first : first + n])
        alone = LowRankLogits(*(part[1:2] for part in normal))
        assert torch.equal(draw(alone, e[1:2], ids[1:2], 0), whole[1:2])


def test_sums_in_later_launches_are_the_same(monkeypatch):
    """As of large images, whose sums would take too much memory at once."""
    pytest.importorskip("triton")
    from fastpunet_kernels.triton import sums

    normal, e, ids = problem(images=2, pixels=40, n=70)
    together = at("triton", draw_low_rank_sums, normal, e, ids, seed=SEED, first=3)
    monkeypatch.setattr(sums, "PARTIAL_SUMS", 1)
    monkeypatch.setattr(sums, "LONGEST", 32)
    for one, other in zip(together, at("triton", draw_low_rank_sums, normal, e, ids, seed=SEED, first=3), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-5)


def test_the_noise_of_pixels_is_philox_normal(backend):
    """Class c draws pixel p's number p under a seed of its own, whatever other classes and pixels there are."""
    classes = compiled(3, backend)
    zeros = torch.zeros(1, classes, 300)
    normal = LowRankLogits(zeros, zeros[:, None], zeros + 1)
    ids, e = torch.tensor([2**40 + 9]), torch.zeros(1, 6, 1)
    found = at(backend, draw_low_rank, normal, e, ids, seed=SEED, first=2, output="logits")
    for label in range(classes):
        expected = philox_normal(SEED ^ (label + 1) << 48, ids, 2, 6, 300, backend="reference")
        torch.testing.assert_close(found[:, :, label], expected, rtol=1e-5, atol=2e-6)
    fewer = LowRankLogits(zeros[:, :1, :77], zeros[:, None, :1, :77], zeros[:, :1, :77] + 1)
    again = at(backend, draw_low_rank, fewer, e, ids, seed=SEED, first=2, output="logits")
    assert torch.equal(again, found[:, :, :1, :77])


def test_pixel_noise_is_as_exact_as_that_of_pytorch(backend):
    n, pixels = (16, 256) if backend == "triton" else (100, 400)
    zeros, ids = torch.zeros(1, 1, pixels), torch.tensor([7])
    normal = LowRankLogits(zeros, zeros[:, None], zeros + 1)
    found = at(backend, draw_low_rank, normal, torch.zeros(1, n, 1), ids, seed=1, output="logits")[0, :, 0]
    exact = exact_normal(1 ^ 1 << 48, ids, 0, n, pixels)[0]
    plain = philox_normal(1 ^ 1 << 48, ids, 0, n, pixels, backend="reference")[0]
    assert (found - exact).abs().max() <= 2 * (plain - exact).abs().max()


@pytest.mark.parametrize("output", ["labels", "bits"])
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_noise_that_cannot_change_a_label_is_left_out_without_a_change(capability, output, monkeypatch):
    monkeypatch.setattr(launch, "capability", lambda: CAPABILITIES.index(capability))
    for scale in (0.0, 0.1, 1.0, 10.0):
        normal, e, ids = problem(pixels=1000, n=20)
        normal = normal._replace(mean=scale * 5 * normal.mean, sigma=normal.sigma * (normal.sigma > 0.3))
        drawn = draw_low_rank(normal, e, ids, seed=1, output=output, backend="native")
        with monkeypatch.context() as patch:
            patch.setenv("FASTPUNET_PRUNING", "off")
            assert torch.equal(draw_low_rank(normal, e, ids, seed=1, output=output, backend="native"), drawn)


@pytest.mark.parametrize("part", ["mean", "factor", "sigma", "e"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2e38])
@pytest.mark.parametrize("backend", ["reference", "native"])
def test_nan_and_overflow_are_refused(backend, part, value):
    normal, e, ids = problem()
    broken = normal._replace(**{part: getattr(normal, part).clone()}) if part != "e" else normal
    changed = e.clone() if part == "e" else getattr(broken, part)
    changed.view(-1)[3] = value
    e = changed if part == "e" else e
    for draw in (draw_low_rank, draw_low_rank_sums):
        with pytest.raises(ValueError, match=f"^{part}: got NaN, infinity or numbers so large"):
            draw(broken, e, ids, seed=0, backend=backend)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": torch.zeros(2, 205)}, r"^mean: got shape \(2, 205\), expected \(B, K, P\) with at most 256 classes"),
        ({"mean": torch.zeros(2, 257, 3)}, "^mean: got shape .2, 257, 3., expected"),
        ({"factor": torch.zeros(2, 3, 1, 204)}, r"^factor: got shape \(2, 3, 1, 204\), expected \(2, 3, 1, 205\)"),
        ({"factor": torch.zeros(2, 1, 205)}, r"^factor: got shape \(2, 1, 205\), expected \(2, 1, 1, 205\)"),
        ({"sigma": torch.zeros(2, 205)}, r"^sigma: got shape \(2, 205\), expected \(2, 1, 205\)"),
        ({"e": torch.zeros(2, 5, 2)}, r"^e: got shape \(2, 5, 2\), expected \(2, n, 3\)"),
        ({"ids": torch.arange(3)}, r"^ids: got shape \(3,\), expected \(2,\)"),
        ({"e": torch.zeros(2, 5, 3).double()}, "^e: got torch.float64, expected torch.float32"),
        ({"output": "masks"}, "^output: got 'masks', expected one of labels, logits, probs, bits"),
        ({"backend": "fast"}, "^backend: got 'fast'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(changes, message):
    normal, e, ids = problem()
    arguments = {**normal._asdict(), "e": e, "ids": ids, "output": "labels", "backend": "auto", **changes}
    normal = LowRankLogits(*(arguments.pop(name) for name in LowRankLogits._fields))
    with pytest.raises(ValueError, match=message):
        draw_low_rank(normal, arguments.pop("e"), arguments.pop("ids"), seed=0, **arguments)


def test_strides_and_threads_do_not_matter():
    normal, e, ids = problem(pixels=3000, n=40)
    expected = draw_low_rank(normal, e, ids, seed=0, output="bits")
    spread = LowRankLogits(*(torch.stack((part, part + 1), -1)[..., 0] for part in normal))
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            assert torch.equal(draw_low_rank(spread, e, ids, seed=0, output="bits"), expected)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_the_ops_are_registered_and_compile_whole(backend):
    normal, e, ids = problem(classes=2, pixels=40)
    library.opcheck(torch.ops.fastpunet.draw_low_rank_sums.default, (*normal, e, ids, 1, 0, backend))
    for output in OUTPUTS:
        library.opcheck(torch.ops.fastpunet.draw_low_rank.default, (*normal, e, ids, 1, 0, output, backend))

    def whole(normal, e, ids):
        labels = draw_low_rank(normal, e, ids, seed=1, backend=backend)
        return labels.float().mean(1), draw_low_rank_sums(normal, e, ids, seed=1, backend=backend).entropy

    found = torch.compile(whole, fullgraph=True, backend="aot_eager")(normal, e, ids)
    for compiled, eager in zip(found, whole(normal, e, ids), strict=True):
        torch.testing.assert_close(compiled, eager)
