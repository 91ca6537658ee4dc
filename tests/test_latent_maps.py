"""Latent maps: the published form of f_comb with interpolated maps is the meaning, and the engine gives the same."""

from typing import Any

import pytest
import torch
from torch import Tensor

import fastpunet
from fastpunet.metrics import nestedness
from fastpunet.models import checkpoint
from fastpunet.models.latent_maps import interpolated
from fastpunet.models.map_encoding import MapEncoding
from fastpunet.models.priors import AxisAligned
from fastpunet.windows.map_priors import maps_as_features, maps_of_features
from fastpunet_kernels import maps_in_first_layer


def model_of(dims: int = 2, num_classes: int = 1, **options: int) -> fastpunet.ProbabilisticUNet:
    torch.manual_seed(0)
    given = dict(channels=(4, 6, 8), latent_dim=3, latent_maps=2, fcomb_channels=5, convs_per_block=1) | options
    model = fastpunet.ProbabilisticUNet(1, num_classes, dims=dims, **given).eval()  # type: ignore[arg-type]
    for layer in model.output_layers():
        torch.nn.init.normal_(layer.weight)
    return model


def expected(model: fastpunet.ProbabilisticUNet, images: Tensor, z: Tensor) -> Tensor:
    """The logits by f_comb's own forward pass, one latent after another."""
    features = model.unet(images)
    return torch.stack([model.fcomb(features, z[:, k]) for k in range(z.shape[1])], dim=1)


@pytest.mark.parametrize(
    ("dims", "size", "num_classes"), [(2, (16, 16), 1), (2, (17, 22), 3), (3, (5, 9, 8), 1), (2, (1, 3), 1)]
)
@torch.no_grad()
def test_the_engine_decodes_as_the_combiner_itself(dims: int, size: tuple[int, ...], num_classes: int) -> None:
    model = model_of(dims, num_classes)
    images = torch.rand(2, 1, *size)
    sampler = fastpunet.Sampler(model, precision="ieee")
    encoding = sampler.encode(images)
    cells = torch.tensor(model_of(dims, num_classes).grid_of(size)).prod().item()
    z = torch.randn(2, 5, 3 + 2 * int(cells))
    truth = expected(model, images, z)
    logits = sampler.decode(encoding, z, output="logits")
    torch.testing.assert_close(logits, truth, atol=2e-5, rtol=1e-5)
    wrong = (sampler.decode(encoding, z, output="labels") != _labels(truth)) & (_margin(truth) > 1e-4)
    assert not wrong.any()
    assert isinstance(encoding, MapEncoding)
    differentiable = model.differentiable_logits(encoding, z)
    torch.testing.assert_close(differentiable, truth, atol=2e-5, rtol=1e-5)
    some = torch.tensor([0, int(images[0, 0].numel()) - 1])
    part = model.differentiable_logits(encoding, z.double(), some)
    torch.testing.assert_close(part.float(), truth.flatten(3)[..., some], atol=2e-5, rtol=1e-5)


def _labels(logits: Tensor) -> Tensor:
    return ((logits > 0)[:, :, 0] if logits.shape[2] == 1 else logits.argmax(2)).to(torch.uint8)


def _margin(logits: Tensor) -> Tensor:
    if logits.shape[2] == 1:
        return logits[:, :, 0].abs()
    best = logits.topk(2, dim=2).values
    return best[:, :, 0] - best[:, :, 1]


def test_a_map_of_one_value_acts_as_a_latent_of_the_whole_image() -> None:
    weight = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    values = torch.tensor([3.0, 0.5]).view(1, 1, 2, 1, 1).expand(1, 1, 2, 2, 3)
    shares = maps_in_first_layer(values, weight, (5, 7))
    assert shares.shape == (1, 1, 35, 2)
    torch.testing.assert_close(shares, torch.tensor([4.0, -0.5]).expand(1, 1, 35, 2))


def test_interpolation_keeps_the_corners() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    fine = interpolated(maps, (5, 3))
    assert fine[0, 0, 0].tolist() == [1, 1.5, 2]
    assert fine[0, 0, 2].tolist() == [2, 2.5, 3]
    assert fine[0, 0, -1, -1] == 4


@pytest.mark.parametrize("sampler", ["random", "sobol", "antithetic"])
def test_hypotheses_do_not_depend_on_their_company(sampler: str) -> None:
    model = model_of()
    images = torch.rand(3, 1, 20, 20)
    engine = fastpunet.Sampler(model, sampler=sampler)
    encoding = engine.encode(images)
    together = engine.draw(encoding, 9, seed=1, output="logits")
    assert torch.equal(together[:, :4], engine.draw(encoding, 4, seed=1, output="logits"))
    chunks = torch.cat(list(engine.stream(encoding, 9, seed=1, output="logits", chunk=2)), dim=1)
    assert torch.equal(together, chunks)
    alone = engine.sample(images[1:2], 4, seed=1, ids=torch.tensor([1]), output="logits")
    torch.testing.assert_close(alone, together[1:2, :4], atol=1e-5, rtol=1e-5)


def test_sums_are_those_of_the_hypotheses() -> None:
    model, images = model_of(), torch.rand(2, 1, 12, 12)
    summary = fastpunet.summarize(model, images, n=30, seed=2)
    probs = fastpunet.sample(model, images, n=30, seed=2, output="probs")
    torch.testing.assert_close(summary.mean.float(), probs.mean(1), atol=1e-6, rtol=1e-5)
    labels = fastpunet.sample(model, images, n=30, seed=2)
    assert torch.equal(summary.volume.flatten(1).long(), labels.flatten(2).sum(2).long())


def test_a_map_moves_one_side_and_not_the_other() -> None:
    model, images = model_of(fcomb_layers=2), torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        model.fcomb.layers[0].weight[:, -2:] *= 30
        logits = fastpunet.sample(model, images, n=60, seed=0, output="logits")
        model.fcomb.last_layer.bias -= logits.quantile(0.8)  # so that masks are neither empty nor full
    assert nestedness(fastpunet.sample(model, images, n=60, seed=0)).item() < 0.5


def test_gradients_reach_every_parameter() -> None:
    model, images = model_of().train(), torch.rand(2, 1, 16, 16)
    labels = torch.randint(0, 2, (2, 3, 16, 16))
    terms = model.loss_terms(images, labels, seed=0, ids=torch.arange(2), hypotheses=4)
    assert terms.kl.shape == (2, 3, 3 + 2 * 16)
    assert terms.hypotheses is not None
    (terms.reconstruction.sum() + terms.kl.sum() + terms.hypotheses.sum()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert model.prior.map_layer is not None
    assert model.prior.map_layer.weight.grad.abs().sum() > 0


def test_checkpoints_and_state_dicts_keep_maps_and_width(tmp_path: object) -> None:
    model, images = model_of(), torch.rand(1, 1, 16, 16)
    truth = fastpunet.sample(model, images, n=3, seed=0, output="logits")
    path = f"{tmp_path}/model.safetensors"
    fastpunet.save(model, path)
    for loaded in (checkpoint.load(path), checkpoint.load(model.state_dict())):
        assert torch.equal(fastpunet.sample(loaded, images, n=3, seed=0, output="logits"), truth)


@torch.no_grad()
def test_windows_blend_the_cells_of_maps() -> None:
    model = model_of()
    windowed = fastpunet.windowed(model, 16)
    small, large = torch.rand(2, 1, 16, 16), torch.rand(2, 1, 40, 24)
    truth = fastpunet.sample(model, small, n=3, seed=0, output="logits")
    torch.testing.assert_close(fastpunet.sample(windowed, small, n=3, seed=0, output="logits"), truth)
    logits = fastpunet.sample(windowed, large, n=5, seed=0, output="logits")
    assert logits.shape == (2, 5, 1, 40, 24)
    assert torch.isfinite(logits).all()
    prior = model.prior.map_layer
    assert prior is not None
    prior.weight.zero_()  # now all cells of all windows have the same mean and sigma, and so must the blended ones
    encoding: Any = windowed.encode(large)
    assert encoding.prior.mu.shape == (2, 3 + 2 * 10 * 6)
    assert prior.bias is not None
    mu, log_sigma = prior.bias.chunk(2)
    torch.testing.assert_close(encoding.prior.mu[:, 3:].unflatten(1, (2, -1)), mu[None, :, None].expand(2, 2, 60))
    bounded = log_sigma / (1 + log_sigma.abs() / 5)
    expected = bounded.exp()[None, :, None].expand(2, 2, 60)
    torch.testing.assert_close(encoding.prior.sigma[:, 3:].unflatten(1, (2, -1)), expected)


@torch.no_grad()
def test_blended_cells_are_those_of_the_place() -> None:
    """Of windows whose maps are a ramp over the image, the blended map is that ramp."""
    model = model_of()
    size, grid = (40, 24), (10, 6)
    ramp = torch.linspace(0, 1, 40)[:, None].expand(size)
    windows = [ramp[top : top + 16, :16] for top in (0, 8, 24)]
    for part in windows:
        cells = interpolated(part[None, None], (4, 4)).flatten(1)
        prior = AxisAligned(torch.cat((torch.zeros(1, 3), cells, cells), 1), torch.ones(1, 3 + 32))
        features, others = maps_as_features(torch.zeros(1, 4, 16, 16), prior, 3, (4, 4))
        assert others.mu.shape == (1, 3)
        torch.testing.assert_close(features[0, 4], part)
    blended = torch.cat((torch.zeros(1, 4, *size), ramp.expand(1, 2, *size), torch.zeros(1, 2, *size)), dim=1)
    _, whole = maps_of_features(blended, AxisAligned(torch.zeros(1, 3), torch.ones(1, 3)), 2, grid)
    torch.testing.assert_close(whole.mu[0, 3:63].unflatten(0, grid)[:, 0], torch.linspace(0, 1, 10))
    assert (whole.sigma == 1).all()
    assert model.grid_of(size) == grid


@pytest.mark.parametrize("wrong", [{"latent_maps": -1}, {"fcomb_channels": 0}])
def test_impossible_sizes_are_errors(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        fastpunet.ProbabilisticUNet(**wrong)  # type: ignore[arg-type]
