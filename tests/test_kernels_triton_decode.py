"""The Triton decoder against reference.py and float64: natively on a GPU, in Triton's interpreter elsewhere."""

import math
import random

import numpy as np
import pytest
import torch
from decode_problems import (
    COMPILED,
    LATENT_DIM,
    PRECISIONS,
    check_decode,
    quick,
    random_decoder,
    random_gaussian,
    to_probs,
)
from hypothesis import given
from hypothesis import strategies as st
from torch import library

from fastpunet import ProbabilisticUNet, load, sample
from fastpunet.data.lesions import SyntheticLesions
from fastpunet_kernels import (
    BACKENDS,
    OUTPUTS,
    Decoder,
    Gaussian,
    decode_samples,
    decode_sums,
    pack_bits,
    unpack_bits,
    why_unavailable,
)

pytest.importorskip("triton")

from fastpunet_kernels.triton import decode as triton_decode
from fastpunet_kernels.triton import sums as triton_sums
from fastpunet_kernels.triton.decode import launch_decode
from fastpunet_kernels.triton.offsets import ROWS
from fastpunet_kernels.triton.tiling import by_rule

RUN = by_rule((16, 1), "ieee", 0).run

# Pixels, units of each layer with the classes last, images, hypotheses: every depth, width and kind of class once.
# Other tests take these layers, precisions and outputs where they can, for others are compiled anew.
PROBLEMS = (
    (31, (8, 8, 8, 3), 1, ROWS + 1),
    (1, (16, 1), 1, RUN + 1),
    (61, (32, 32, 24), 1, 2),
    (127, (32, 32, 32, 1), 2, 3),
    (130, (64, 64, 64, 1), 1, 2),
    (37, (16, 48, 24, 32, 3), 1, 2),
)
LAYERS = tuple(widths for _, widths, _, _ in PROBLEMS)
SHALLOW = PROBLEMS[:3]  # of few classes, one and many, for every output
OTHER_OUTPUTS = ("probs", "labels", "bits")


@pytest.mark.parametrize(("pixels", "widths", "images", "n"), SHALLOW)
def test_every_output(pixels: int, widths: tuple[int, ...], images: int, n: int, device: torch.device) -> None:
    torch.manual_seed(pixels)
    check_decode(pixels, widths, random_gaussian(images, n, device), "ieee", device, OTHER_OUTPUTS)


@pytest.mark.parametrize(
    ("pixels", "widths", "images", "n", "precision"),
    [
        (*PROBLEMS[1], "bf16"),
        *((*problem, precision) for problem in PROBLEMS[2:5] for precision in PRECISIONS),
        (*PROBLEMS[5], "ieee"),
    ],
)
def test_decode_drawn_in_the_kernel(
    pixels: int, widths: tuple[int, ...], images: int, n: int, precision: str, device: torch.device
) -> None:
    torch.manual_seed(pixels)
    check_decode(pixels, widths, random_gaussian(images, n, device), precision, device)


@pytest.mark.parametrize(("pixels", "widths", "images", "n"), PROBLEMS[::2])
def test_decode_given_latents(pixels: int, widths: tuple[int, ...], images: int, n: int, device: torch.device) -> None:
    torch.manual_seed(pixels)
    check_decode(pixels, widths, torch.randn(images, n, LATENT_DIM).to(device), "ieee", device)


def test_float32_by_multiply_adds_where_tensor_cores_do_it_otherwise(
    monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    monkeypatch.setattr(triton_decode, "THREE_PRODUCTS", 0)
    torch.manual_seed(0)
    pixels, widths, images, n = PROBLEMS[3]
    check_decode(pixels, widths, torch.randn(images, n, LATENT_DIM).to(device), "ieee", device)


@pytest.mark.parametrize(
    ("widths", "precision"),
    [
        *(((128, 100, 5), precision) for precision in PRECISIONS),
        *([] if COMPILED else [((64, 64, 60, 64, 5), "ieee")]),  # a Hopper keeps them
    ],
)
def test_decode_with_weights_too_many_to_keep(widths: tuple[int, ...], precision: str, device: torch.device) -> None:
    torch.manual_seed(1)
    check_decode(33, widths, torch.randn(1, 1, LATENT_DIM).to(device), precision, device)


def test_decode_256_classes(device: torch.device) -> None:
    torch.manual_seed(2)
    check_decode(
        33, (32, 256), random_gaussian(1, 2, device), "ieee", device, ("labels",) if COMPILED else OTHER_OUTPUTS
    )


@quick(examples=6)
@given(
    pixels=st.integers(1, 150),
    widths=st.just(LAYERS[2])
    if COMPILED
    else st.builds(
        lambda units, classes: (*units, classes),
        st.lists(st.integers(1, 40), min_size=1, max_size=4),
        st.integers(1, 9),
    ),
    images=st.integers(1, 2),
    n=st.integers(1, 3),
    drawn=st.booleans(),
    seed=st.integers(0, 2**32),
    precision=st.sampled_from(PRECISIONS),
    also=st.sampled_from(OTHER_OUTPUTS),
)
def test_decode_any_shape(
    pixels: int,
    widths: tuple[int, ...],
    images: int,
    n: int,
    drawn: bool,
    seed: int,
    precision: str,
    also: str,
    device: torch.device,
) -> None:
    torch.manual_seed(seed)
    latents = random_gaussian(images, n, device) if drawn else torch.randn(images, n, LATENT_DIM).to(device)
    check_decode(pixels, widths, latents, precision, device, (also,) if precision == "ieee" else ())


def test_many_random_problems_equal_the_reference(device: torch.device) -> None:
    """A thousand on a GPU, where each takes milliseconds."""
    rng = random.Random(0)
    decoders = [random_decoder(widths, device) for widths in LAYERS[:3]]
    for _ in range(1000 if COMPILED else 6):
        decoder, largest = rng.choice(decoders), 4000 if device.type == "cuda" else 150
        images, pixels, n = rng.randint(1, 3), rng.randint(1, largest), rng.randint(1, largest // 20)
        base = torch.randn(images, pixels, decoder.z_weight.shape[0], device=device)
        z, output = torch.randn(images, n, LATENT_DIM, device=device), rng.choice(OUTPUTS)
        ours, plain = (decode_samples(base, decoder, z, output=output, backend=b) for b in ("triton", "reference"))
        problem = (images, pixels, n, output, rng.getstate()[1][-1])
        if output in ("logits", "probs"):
            torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4, msg=str(problem))
        else:
            wrong = ours != plain if output == "labels" else unpack_bits(ours ^ plain, pixels)
            assert wrong.sum() <= 1 + 1e-4 * wrong.numel(), problem


@pytest.mark.parametrize(
    ("pixels", "widths", "images", "n", "precision"),
    [*((*problem, "ieee") for problem in PROBLEMS[1:3]), (*PROBLEMS[3], "bf16")],
)
def test_sums_are_those_of_the_hypotheses(
    pixels: int, widths: tuple[int, ...], images: int, n: int, precision: str, device: torch.device
) -> None:
    torch.manual_seed(pixels)
    base, decoder = torch.randn(images, pixels, widths[0]).to(device), random_decoder(widths, device)
    base[0, : pixels // 4] *= 1e4  # logits far from zero: probabilities 0 and 1, no entropy
    z = torch.randn(images, n, LATENT_DIM).to(device)
    options = {"precision": precision, "backend": "triton"}
    sums = decode_sums(base, decoder, z, **options)
    logits = decode_samples(base, decoder, z, output="logits", **options).double()
    probs = to_probs(logits)
    each = torch.cat((1 - probs, probs), 2) if widths[-1] == 1 else probs
    torch.testing.assert_close(sums.probability, probs.sum(1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.entropy, torch.special.entr(each).sum((1, 2)), rtol=1e-5, atol=1e-5)
    decided = logits > 0 if widths[-1] == 1 else logits.argmax(2)[:, :, None] == torch.arange(widths[-1])[:, None]
    assert torch.equal(sums.volume, decided.sum(3))
    assert [part.dtype for part in sums] == [torch.float64, torch.float64, torch.int64]


@pytest.mark.parametrize("widths", [LAYERS[1], LAYERS[2] if COMPILED else (32, 3)])
def test_sums_of_logits_that_are_no_numbers(widths: tuple[int, ...], device: torch.device) -> None:
    """NaN stays in its pixel and counts for the first class; a probability of exactly 0 adds nothing to the entropy."""
    torch.manual_seed(6)
    classes = widths[-1]
    base, decoder = torch.randn(1, 40, widths[0]).to(device), random_decoder(widths, device)
    decoder.biases[-1][-1] = -math.inf
    base[0, 7, 3] = math.nan
    z = torch.randn(1, 9, LATENT_DIM).to(device)
    sums = decode_sums(base, decoder, z, backend="triton")
    logits = decode_samples(base, decoder, z, output="logits", backend="triton").double()
    probs = to_probs(logits)
    each = torch.cat((1 - probs, probs), 2) if classes == 1 else probs
    torch.testing.assert_close(sums.probability, probs.sum(1), rtol=1e-5, atol=1e-5, equal_nan=True)
    entropy = torch.special.entr(each).sum((1, 2))
    torch.testing.assert_close(sums.entropy, entropy, rtol=1e-5, atol=1e-5, equal_nan=True)
    assert torch.equal(sums.entropy.isnan(), torch.arange(40, device=device)[None] == 7)
    labels = (logits > 0).long() if classes == 1 else torch.nn.functional.one_hot(logits.argmax(2), classes).mT
    assert torch.equal(sums.volume, labels.sum(3))


@pytest.mark.parametrize(("room", "longest"), [(2 * 2 * 33, 2 * RUN), (1, 2 * RUN), (1, RUN)])
def test_sums_in_fewer_or_later_runs_are_the_same(
    room: int, longest: int, monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    """As for large images, whose sums would take too much memory if each RUN hypotheses had some of their own."""
    torch.manual_seed(5)
    base, decoder = torch.randn(1, 33, 16).to(device), random_decoder((16, 1), device)
    z = torch.randn(1, 2 * RUN + 1, LATENT_DIM).to(device)
    many = decode_sums(base, decoder, z, backend="triton")
    monkeypatch.setattr(triton_sums, "PARTIAL_SUMS", room)
    monkeypatch.setattr(triton_sums, "LONGEST", longest)
    few = decode_sums(base, decoder, z, backend="triton")
    for one, other in zip(many, few, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-5)


def test_sums_of_very_many_hypotheses_of_large_images_are_precise(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, the sum of 10^5 equal probabilities would be wrong by up to a thousandth."""
    monkeypatch.setattr(triton_sums, "PARTIAL_SUMS", 1)
    chance = torch.rand(50, generator=torch.Generator().manual_seed(0))

    def launch(some: slice, run: int, outs: triton_sums.Outs) -> None:
        for place, first in enumerate(range(some.start, some.stop, run)):
            members = min(first + run, some.stop) - first
            one_by_one = np.add.accumulate(chance.expand(members, -1).numpy(), axis=0)
            outs[0][0, place, 0] = torch.from_numpy(one_by_one[-1])
        outs[1].zero_()

    probability, _, _ = triton_sums.sum_hypotheses(launch, chance, (1, 100_000, 1, 50), RUN)
    torch.testing.assert_close(probability[0, 0], 100_000 * chance.double(), rtol=5e-6, atol=0)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("widths", LAYERS[:2])
def test_every_element_of_the_output_is_written_and_nothing_beside_it(
    output: str, widths: tuple[int, ...], device: torch.device
) -> None:
    torch.manual_seed(3)
    pixels, n = 135, 2
    base, decoder = torch.randn(2, pixels, widths[0]).to(device), random_decoder(widths, device)
    gaussian = random_gaussian(2, n, device)
    expected = decode_samples(base, decoder, gaussian, output=output, backend="triton")
    poisons = (math.nan,) if expected.is_floating_point() else (255, 90)
    for poison in poisons:
        around = torch.full((*(size + 3 for size in expected.shape[:-1]), expected.shape[-1] + 40), poison)
        around = around.to(device, expected.dtype)
        inside = tuple(slice(1, 1 + size) for size in expected.shape)
        untouched = torch.ones_like(around, dtype=torch.bool)
        untouched[inside] = False
        before = around.clone()
        returned = launch_decode(base, decoder, gaussian, around[inside], output, "ieee")
        assert torch.equal(returned, expected)
        assert torch.equal(around[inside], expected)
        assert torch.equal(around[untouched].view(torch.uint8), before[untouched].view(torch.uint8))


def test_inputs_need_not_be_contiguous(device: torch.device) -> None:
    torch.manual_seed(4)
    widths = LAYERS[0]
    base = torch.randn(2, widths[0], 45).to(device).mT
    decoder = random_decoder(widths, device)
    whole_first_layer = torch.cat((torch.randn(widths[0], 24).to(device), decoder.z_weight), dim=1)
    strided = Decoder(
        whole_first_layer[:, 24:],
        [weight.T.contiguous().T for weight in decoder.weights],
        [bias.repeat_interleave(2)[::2] for bias in decoder.biases],
    )
    z = torch.randn(2, LATENT_DIM, 5).to(device).mT
    ids, mu = torch.tensor([4, 0, 9, 0], device=device)[::2], torch.randn(1, LATENT_DIM).to(device).expand(2, -1)
    for latents, plain_latents in (
        (z, z.contiguous()),
        (Gaussian(mu, mu.exp(), ids, 1, 0, 3), Gaussian(mu.contiguous(), mu.exp(), ids.contiguous(), 1, 0, 3)),
    ):
        result = decode_samples(base, strided, latents, output="logits", backend="triton")
        plain = decode_samples(base.contiguous(), decoder, plain_latents, output="logits", backend="triton")
        assert torch.equal(result, plain)


@pytest.mark.parametrize("widths", LAYERS[:2])
def test_hypotheses_do_not_depend_on_how_many_are_drawn(widths: tuple[int, ...], device: torch.device) -> None:
    torch.manual_seed(5)
    base, decoder = torch.randn(1, 40, widths[0]).to(device), random_decoder(widths, device)
    gaussian = random_gaussian(1, RUN + 3, device, first=0)
    many = decode_samples(base, decoder, gaussian, output="labels", backend="triton")
    few = decode_samples(base, decoder, gaussian._replace(first=RUN - 1, n=3), output="labels", backend="triton")
    assert torch.equal(few, many[:, RUN - 1 : RUN + 2])


@pytest.mark.parametrize("widths", LAYERS[:2])
def test_ties_go_to_the_first_class_and_zero_is_background(widths: tuple[int, ...], device: torch.device) -> None:
    tied = random_decoder(widths, device)
    tied.weights[-1].zero_()
    tied.biases[-1].fill_(0.0 if widths[-1] == 1 else -1.0)  # below the zeros that pad the classes
    base, z = torch.randn(1, 40, widths[0]).to(device), torch.randn(1, 2, LATENT_DIM).to(device)
    assert not decode_samples(base, tied, z, output="labels", backend="triton").any()
    for output in OUTPUTS:
        ours = decode_samples(base, tied, z, output=output, backend="triton")
        torch.testing.assert_close(ours, decode_samples(base, tied, z, output=output, backend="reference"))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("widths", LAYERS[2:4])
def test_nan_features_stay_nan_where_they_are(widths: tuple[int, ...], precision: str, device: torch.device) -> None:
    torch.manual_seed(6)
    base, decoder = torch.randn(1, 40, 32).to(device), random_decoder(widths, device)
    base[0, 7, 3] = math.nan
    z = torch.randn(1, 2, LATENT_DIM).to(device)
    logits = decode_samples(base, decoder, z, output="logits", precision=precision, backend="triton")
    assert logits[..., 7].isnan().all()
    assert not logits[..., torch.arange(40) != 7].isnan().any()
    labels = decode_samples(base, decoder, z, output="labels", backend="triton")
    assert not labels[..., 7].any()  # as torch: NaN > 0 is false, and argmax finds the first NaN


@pytest.mark.parametrize(("width", "layers", "classes"), [(8, 4, 3), (16, 2, 1)])
def test_sampling_gives_the_same_hypotheses_on_every_backend(
    width: int, layers: int, classes: int, device: torch.device
) -> None:
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, classes, channels=(width, 12), latent_dim=3, fcomb_layers=layers).to(device).eval()
    images, ids = torch.rand(2, 1, 9, 13, device=device), torch.tensor([5, 2**40])
    backends = [b for b in BACKENDS[1:] if why_unavailable(b, device) is None]
    logits, bits = (
        [sample(model, images, 6, seed=1, ids=ids, output=o, precision="ieee", backend=b) for b in backends]
        for o in ("logits", "bits")
    )
    assert len(backends) >= 2
    for other in range(1, len(backends)):
        torch.testing.assert_close(logits[0], logits[other], rtol=1e-5, atol=1e-6)
        assert (bits[0].unpack() != bits[other].unpack()).float().mean() <= 1e-4


@pytest.mark.parametrize("weights", ["lesions", "lidc-tiny"])
def test_a_gpu_draws_what_the_cpu_draws(weights: str, device: torch.device) -> None:
    """Of trained weights, at float32's accuracy: at most one pixel in ten thousand is decided otherwise."""
    model, records = load(weights), SyntheticLesions(2, seed=3)
    images = torch.stack([torch.from_numpy(record.image) for record in records])
    if device.type == "cpu":  # where an interpreter draws: the middle of the images, in which no pixel may differ
        images = images[..., 16:48, 24:40].contiguous()
    theirs = sample(model, images, 2, seed=6, precision="ieee", backend="reference")
    assert 0 < theirs.float().mean() < 1
    ours = sample(model.to(device), images.to(device), 2, seed=6, precision="ieee", backend="triton").cpu()
    assert (ours != theirs).float().mean() <= 1e-4


@pytest.mark.gpu
def test_outputs_beyond_two_to_the_31_elements(device: torch.device) -> None:
    torch.manual_seed(7)
    pixels = 2**17 + 3
    n = 2**31 // pixels + 3
    base, decoder = torch.randn(1, pixels, 16).to(device), random_decoder((16, 1), device)
    gaussian = random_gaussian(1, n, device, first=0)
    many = decode_samples(base, decoder, gaussian, output="labels", backend="triton")
    last = decode_samples(base, decoder, gaussian._replace(first=n - 2, n=2), output="labels", backend="triton")
    assert many.numel() > 2**31
    assert torch.equal(many[:, -2:], last)


def test_registration(device: torch.device) -> None:
    base, decoder = torch.randn(1, 33, 8).to(device), random_decoder(LAYERS[0], device)
    gaussian = random_gaussian(1, 2, device)
    z = torch.randn(1, 2, LATENT_DIM).to(device)
    masks = pack_bits(torch.rand(1, 2, 1, 90) > 0.5).to(device)
    ops = torch.ops.fastpunet
    library.opcheck(ops.philox_normal.default, (1, gaussian.ids, 0, 3, 6, "triton"))
    library.opcheck(ops.decode_latents.default, (base, *decoder, z, "bits", "ieee", "triton"))
    library.opcheck(ops.decode_gaussian.default, (base, *decoder, *gaussian, "labels", "ieee", "triton"))
    weights = torch.rand(1, 2, dtype=torch.float64).to(device)
    library.opcheck(ops.area.default, (masks, "triton"))
    library.opcheck(ops.pairwise_intersection.default, (masks, masks.clone(), "triton"))
    library.opcheck(ops.mask_iou.default, (masks, masks.clone(), 1.0, "triton"))
    library.opcheck(ops.distance_sums.default, (masks, masks.clone(), weights, weights.clone(), 1.0, "triton"))
