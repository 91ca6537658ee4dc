"""Latent maps in the kernels, interpolated inside the decoder: every instruction set against float64 and PyTorch."""

import pytest
import torch
from torch import Tensor

import fastpunet_kernels as ops
from fastpunet_kernels import Decoder, Maps, reference
from fastpunet_kernels.native import launch

CAPABILITIES = launch.kernels.CAPABILITIES[: launch.capability() + 1] if launch.kernels else []


@pytest.fixture(params=["reference", *CAPABILITIES])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the test for the reference, and for every instruction set that this processor has."""
    if request.param == "reference":
        return "reference"
    monkeypatch.setattr(launch, "capability", lambda: CAPABILITIES.index(request.param))
    return "native"


def case(
    size: tuple[int, ...], grid: tuple[int, ...], channels: int = 2, classes: int = 1, n: int = 5, images: int = 2
) -> tuple[Tensor, Decoder, Tensor, Maps]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    width, pixels = 9, int(torch.tensor(size).prod())
    decoder = Decoder(
        normal(width, 3), [normal(width, width) / 3, normal(classes, width) / 3], [normal(width), normal(classes)]
    )
    maps = Maps(normal(images, n, channels, *grid), normal(width, channels), size)
    return normal(images, pixels, width), decoder, normal(images, n, 3), maps


def exact_logits(base: Tensor, decoder: Decoder, z: Tensor, maps: Maps) -> Tensor:
    """Every pixel by itself in float64: the cells on all sides of its place, weighted by how close they are."""
    values, weight, size = maps
    grid = values.shape[3:]
    fine = values.double()
    for axis, (length, cells) in enumerate(zip(size, grid, strict=True), start=3):
        at = torch.linspace(0, cells - 1, length, dtype=torch.float64) if length > 1 else torch.zeros(1).double()
        before = at.floor().long().clamp(max=cells - 1)
        along = (at - before).view(-1, *[1] * (len(size) - 1 - (axis - 3)))
        after = (before + 1).clamp(max=cells - 1)
        fine = fine.index_select(axis, before) * (1 - along) + fine.index_select(axis, after) * along
    share = torch.einsum("bnsp,hs->bnph", fine.flatten(3), weight.double())
    hidden = base.double()[:, None] + (z.double() @ decoder.z_weight.double().T)[:, :, None] + share
    for matrix, bias in zip(decoder.weights, decoder.biases, strict=True):
        hidden = hidden.relu() @ matrix.double().T + bias.double()
    return hidden.movedim(-1, -2)


SIZES = [
    ((16, 16), (4, 4)),
    ((17, 50), (3, 7)),
    ((3, 5), (3, 5)),
    ((1, 3), (1, 1)),
    ((70, 2), (9, 1)),
    ((5, 9, 8), (2, 3, 2)),
    ((1, 4, 33), (1, 4, 33)),
    ((100,), (13,)),
]


@pytest.mark.parametrize(("size", "grid"), SIZES)
@pytest.mark.parametrize("classes", [1, 3])
def test_error_is_at_most_twice_that_of_pytorch(
    backend: str, size: tuple[int, ...], grid: tuple[int, ...], classes: int
) -> None:
    base, decoder, z, maps = case(size, grid, classes=classes)
    exact = exact_logits(base, decoder, z, maps)
    plain = ops.decode_samples(base, decoder, z, maps=maps, output="logits", backend="reference")
    ours = ops.decode_samples(base, decoder, z, maps=maps, output="logits", backend=backend)
    assert (plain - exact).abs().max() < 1e-5
    assert (ours - exact).norm() <= 2 * (plain - exact).norm()
    labels = ops.decode_samples(base, decoder, z, maps=maps, backend=backend)
    assert torch.equal(labels.long(), (ours[:, :, 0] > 0).long() if classes == 1 else ours.argmax(2))
    bits = ops.decode_samples(base, decoder, z, maps=maps, output="bits", backend=backend)
    assert torch.equal(bits, reference.pack_labels(labels, [1] if classes == 1 else range(classes)))


@pytest.mark.parametrize("precision", ["ieee", "bf16"])
def test_hypotheses_have_the_same_bits_in_any_company(
    backend: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, decoder, z, maps = case((13, 21), (4, 6), n=12)

    def decode(images: slice, hypotheses: slice) -> Tensor:
        some = maps._replace(values=maps.values[images, hypotheses])
        options = {"output": "logits", "precision": precision, "backend": backend}
        return ops.decode_samples(base[images], decoder, z[images, hypotheses], maps=some, **options)  # type: ignore[arg-type]

    together = decode(slice(None), slice(None))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(decode(slice(1, 2), slice(7, 8)), together[1:, 7:8])
    assert torch.equal(decode(slice(None), slice(0, 5)), together[:, :5])


def test_sums_are_those_of_the_hypotheses(backend: str) -> None:
    base, decoder, z, maps = case((13, 21), (4, 6), n=7)
    logits = ops.decode_samples(base, decoder, z, maps=maps, output="logits", backend=backend)
    expected = ops.sums_of_logits(logits.double())
    sums = ops.decode_sums(base, decoder, z, maps=maps, backend=backend)
    torch.testing.assert_close(sums.probability, expected.probability, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.entropy, expected.entropy, rtol=1e-5, atol=1e-5)
    assert torch.equal(sums.volume, expected.volume)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
@pytest.mark.parametrize("place", [0, -1])
def test_maps_that_overflow_are_refused(backend: str, value: float, place: int) -> None:
    base, decoder, z, maps = case((6, 6), (2, 2))
    maps.values.view(-1)[place] = value
    with pytest.raises(ValueError, match="got NaN, infinity or numbers so large"):
        ops.decode_samples(base, decoder, z, maps=maps, backend=backend)


def test_maps_that_do_not_fit_are_refused() -> None:
    base, decoder, z, maps = case((6, 8), (2, 3))
    recipe = ops.Gaussian(torch.zeros(2, 3), torch.ones(2, 3), torch.arange(2), 0, 0, 5)
    for wrong, latents, message in (
        (maps, recipe, r"latents: got a recipe and maps, expected z \(B, n, latent_dim\)"),
        (maps._replace(weight=torch.zeros(8, 2)), z, r"maps.weight: got float32 \(8, 2\), expected \(9, maps\)"),
        (maps._replace(size=(6, 7)), z, r"maps.size: got \(6, 7\), expected one to three lengths whose product is 48"),
        (
            maps._replace(values=maps.values[:, :4]),
            z,
            r"maps.values: got float32 \(2, 4, 2, 2, 3\), expected \(2, 5, 2\)",
        ),
        (maps._replace(values=torch.zeros(2, 5, 2, 7, 3)), z, r"a grid no finer than \(6, 8\)"),
    ):
        with pytest.raises(ValueError, match=f"^{message}" if message.startswith(("maps", "latents")) else message):
            ops.decode_samples(base, decoder, latents, maps=wrong)
