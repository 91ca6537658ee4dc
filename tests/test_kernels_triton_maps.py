"""Latent maps in the Triton decoder against float64 and PyTorch: on a GPU, or in Triton's interpreter."""

import pytest
import torch
from decode_problems import COMPILED
from test_kernels_maps import case, exact_logits
from torch import Tensor

from fastpunet.waits import RefuseWaits
from fastpunet_kernels import Decoder, Maps, decode_samples, decode_sums, sums_of_logits

pytest.importorskip("triton")

from fastpunet_kernels.triton import maps as latent_maps
from fastpunet_kernels.triton import tiling
from fastpunet_kernels.triton.maps import corners


def moved(
    device: torch.device, base: Tensor, decoder: Decoder, z: Tensor, maps: Maps
) -> tuple[Tensor, Decoder, Tensor, Maps]:
    z_weight, weights, biases = decoder
    decoder = Decoder(z_weight.to(device), [w.to(device) for w in weights], [b.to(device) for b in biases])
    maps = maps._replace(values=maps.values.to(device), weight=maps.weight.to(device))
    return base.to(device), decoder, z.to(device), maps


FLAT, DEEP = ((9, 13), (3, 7), 1), ((5, 9, 8), (2, 3, 2), 3)  # size, grid, classes


@pytest.mark.parametrize(
    ("size", "grid", "classes"), [FLAT, ((1, 3), (1, 1), 1), *([] if COMPILED else [DEEP, ((100,), (13,), 3)])]
)
def test_error_is_at_most_twice_that_of_pytorch(
    size: tuple[int, ...], grid: tuple[int, ...], classes: int, device: torch.device
) -> None:
    problem = case(size, grid, classes=classes)
    base, decoder, z, maps = moved(device, *problem)
    exact = exact_logits(*problem)
    plain = decode_samples(base, decoder, z, maps=maps, output="logits", backend="reference").cpu()
    ours = decode_samples(base, decoder, z, maps=maps, output="logits", backend="triton").cpu()
    assert (ours - exact).norm() <= 2 * (plain - exact).norm()


@pytest.mark.parametrize(
    ("output", "precision"), [("logits", "ieee"), *([] if COMPILED else [("bits", "ieee"), ("bits", "bf16")])]
)
def test_hypotheses_have_the_same_bits_in_any_company(output: str, precision: str, device: torch.device) -> None:
    base, decoder, z, maps = moved(device, *case((9, 14), (4, 6), n=12))

    def decode(images: slice, hypotheses: slice) -> Tensor:
        some = maps._replace(values=maps.values[images, hypotheses])
        options = {"output": output, "precision": precision, "backend": "triton"}
        return decode_samples(base[images], decoder, z[images, hypotheses], maps=some, **options)  # type: ignore[arg-type]

    together = decode(slice(None), slice(None))
    assert torch.equal(decode(slice(1, 2), slice(7, 8)), together[1:, 7:8])
    assert torch.equal(decode(slice(None), slice(0, 9)), together[:, :9])


@pytest.mark.parametrize(("size", "grid", "classes"), [DEEP, *([] if COMPILED else [FLAT])])
def test_sums_are_those_of_the_hypotheses(
    size: tuple[int, ...], grid: tuple[int, ...], classes: int, device: torch.device
) -> None:
    problem = case(size, grid, classes=classes, n=7)
    base, decoder, z, maps = moved(device, *problem)
    expected = sums_of_logits(exact_logits(*problem))
    sums = decode_sums(base, decoder, z, maps=maps, backend="triton")
    torch.testing.assert_close(sums.probability.cpu(), expected.probability, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.entropy.cpu(), expected.entropy, rtol=1e-5, atol=1e-5)
    assert torch.equal(sums.volume.cpu(), expected.volume)


@pytest.mark.quick
@pytest.mark.parametrize(("size", "grid"), [((7, 5), (3, 5)), ((2, 9, 4), (1, 4, 3)), ((6,), (1,)), ((1,), (1,))])
def test_corners_interpolate_as_pytorch_does(size: tuple[int, ...], grid: tuple[int, ...]) -> None:
    cells, shares = corners(size, grid, torch.device("cpu"))
    assert cells.shape == shares.shape == (2 ** len(size), torch.Size(size).numel())
    values = torch.randn(1, 1, *grid, dtype=torch.float64)
    mode = ("linear", "bilinear", "trilinear")[len(size) - 1]
    expected = torch.nn.functional.interpolate(values, size=size, mode=mode, align_corners=True)
    found = (values.flatten()[cells.long()] * shares).sum(0)
    torch.testing.assert_close(found, expected.flatten(), rtol=1e-6, atol=1e-6)


@pytest.mark.quick
def test_the_host_never_waits_for_corners() -> None:
    device = torch.device("meta")
    with RefuseWaits(device):
        cells, _ = corners((7, 5), (3, 5), device)
    assert cells.shape == (4, 35)


def test_no_other_cell_reaches_the_last_pixel() -> None:
    """NaN in one would, as 0 times NaN is NaN."""
    for length in range(1, 70):
        for count in range(1, length + 1):
            cells, _ = corners((length,), (count,), torch.device("cpu"))
            assert (cells[:, -1] == count - 1).all()


def test_every_tiling_has_one_for_maps() -> None:
    """Tuning may have found one of a single warp, on GPUs of capability 8 and 10."""
    for precision in ("ieee", "tf32", "bf16"):
        for capability in (0, 8, 9, 10):
            for each in tiling.candidates((32, 32, 32, 1), precision, capability):
                assert tiling._is_possible(latent_maps.tiling(each))
