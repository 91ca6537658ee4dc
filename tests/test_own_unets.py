"""Any network in place of the U-Net: sampled, trained, refused where it does not fit, and restored from its weights."""

import copy

import pytest
import torch
from torch import nn

import fastpunet
from fastpunet.models import ProbabilisticUNet
from fastpunet.training.batches import Batch
from fastpunet.training.config import TrainingConfig
from fastpunet.training.module import TrainingModule

SMALL = dict(channels=(6, 8), latent_dim=3)


class Plain(nn.Module):
    """Takes any size, and behaves differently in training."""

    def __init__(self, features=5):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 7, 3, padding=1), nn.BatchNorm2d(7), nn.SiLU(), nn.Dropout(0.3), nn.Conv2d(7, features, 1)
        )

    def forward(self, x):
        return self.net(x)


def _monai(dims=2):
    nets = pytest.importorskip("monai.networks.nets")
    return nets.UNet(spatial_dims=dims, in_channels=1, out_channels=5, channels=(4, 8, 8), strides=(2, 2))


def _flexible():
    nets = pytest.importorskip("monai.networks.nets")
    return nets.FlexibleUNet(1, 5, "efficientnet-b0", decoder_channels=(16, 8, 8, 8, 8), is_pad=False)


def _model(unet, **config):
    return ProbabilisticUNet(**{**SMALL, **config}, unet=unet)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("make", [Plain, _monai, _flexible])
@pytest.mark.parametrize("size", [(32, 64), (30, 37)])
def test_given_latents_decode_as_by_its_own_features_in_evaluation_mode(make, size):
    model, images, z = _model(make()).train(), torch.rand(2, 1, *size), torch.randn(2, 3, 3)
    sampler = fastpunet.Sampler(model, precision="ieee")
    got = sampler.decode(sampler.encode(images), z, output="logits")
    model.eval()
    multiple = {Plain: 1, _monai: 4, _flexible: 32}[make]
    up = [-(-length // multiple) * multiple - length for length in size]
    with torch.no_grad():
        features = model.unet(nn.functional.pad(images, (0, up[1], 0, up[0]), mode="replicate"))
        features = features[..., : size[0], : size[1]]
        own = torch.stack([model.fcomb(features, z[:, k]) for k in range(3)], 1)
    torch.testing.assert_close(got, own, rtol=1e-4, atol=1e-5)
    assert fastpunet.sample(model, images, 4, seed=0).shape == (2, 4, *size)


def test_a_size_that_is_padded_is_found_out_once():
    class Picky(Plain):
        calls = 0

        def forward(self, x):
            type(self).calls += 1
            if x.shape[-1] % 16 or x.shape[-2] % 16:
                raise RuntimeError("sides must be multiples of 16")
            return super().forward(x)

    model, images = _model(Picky()), torch.rand(1, 1, 20, 33)
    first = fastpunet.sample(model, images, 2, seed=0)
    calls = Picky.calls
    assert torch.equal(fastpunet.sample(model, images, 2, seed=0), first)
    assert Picky.calls == calls + 1
    padded = nn.functional.pad(images, (0, 15, 0, 12), mode="replicate")
    torch.testing.assert_close(model.eval().features(images), model.unet(padded)[..., :20, :33])


def test_volumes_classes_and_latent_maps():
    model = _model(_monai(3), dims=3, num_classes=4, fcomb_channels=9)
    assert model.fcomb.layers[0].weight.shape[:2] == (9, 5 + 3)
    assert fastpunet.sample(model, torch.rand(1, 1, 8, 8, 12), 3, seed=0, output="probs").shape == (1, 3, 4, 8, 8, 12)
    mapped = _model(Plain(), latent_maps=1)
    assert fastpunet.sample(mapped, torch.rand(1, 1, 12, 12), 3, seed=0).shape == (1, 3, 12, 12)


@pytest.mark.parametrize("make", [Plain, _monai])
def test_the_lightning_module_trains_all_of_it(make):
    class OfNoTrainer(TrainingModule):
        global_step = 0

        def log_dict(self, *_, **__):
            pass

    module = OfNoTrainer(_model(make()), TrainingConfig(kind="lesions", steps=40, learning_rate=0.02))
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, 1, 16, 16, generator=generator)
    labels = (images > 0.5).long().expand(-1, 2, -1, -1)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    losses = []
    for step in range(25):
        batch = Batch(images, labels, torch.arange(8) + 8 * step)
        loss = module.training_step(batch, step)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            assert all(parameter.grad is not None for parameter in module.model.unet.parameters())
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_hypotheses_in_training_reach_the_networks_weights():
    model = _model(Plain())
    terms = model.loss_terms(
        torch.rand(2, 1, 8, 8), torch.zeros(2, 1, 8, 8).long(), seed=0, ids=torch.arange(2), hypotheses=4
    )
    terms.hypotheses.square().mean().backward()
    assert model.unet.net[0].weight.grad.abs().sum() > 0


def test_weights_come_back_into_a_model_built_alike_and_save_says_why_it_cannot(tmp_path):
    model = _model(Plain())
    with pytest.raises(TypeError, match="^model: its unet is a module of your own, which a file cannot describe"):
        fastpunet.save(model, tmp_path / "model.safetensors")
    torch.save(model.state_dict(), tmp_path / "model.pt")
    with pytest.raises(ValueError, match="^checkpoint: .*not a Probabilistic U-Net"):
        fastpunet.load(tmp_path / "model.pt")
    torch.manual_seed(5)
    again = ProbabilisticUNet(**SMALL, unet=Plain())
    again.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    images = torch.rand(1, 1, 9, 9)
    assert torch.equal(fastpunet.sample(again, images, 5, seed=1), fastpunet.sample(model, images, 5, seed=1))
    assert torch.equal(
        fastpunet.sample(copy.deepcopy(again), images, 5, seed=1), fastpunet.sample(again, images, 5, seed=1)
    )


class _Pair(Plain):
    def forward(self, x):
        return super().forward(x), x


@pytest.mark.parametrize(
    ("unet", "error", "message"),
    [
        ("resnet", TypeError, "^unet: got str, expected a torch.nn.Module"),
        (_Pair(), TypeError, r"^unet: gives \(a tensor .*\) for images \(1, 1, 64, 64\), expected one tensor"),
        (nn.Conv2d(3, 4, 1), ValueError, "^model: its networks do not take images of 1 channels"),
        (nn.Conv2d(1, 4, 1, stride=2), ValueError, "its features have the size"),
    ],
)
def test_networks_that_do_not_fit_are_named(unet, error, message):
    with pytest.raises(error, match=message):
        _model(unet)
