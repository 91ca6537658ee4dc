"""The packages themselves, where they are installed: lightning-uq-box, torch-em, segmentation_models_pytorch.

They need a torchvision that fits PyTorch, and so an environment of their own; docs/models.md has the commands.
"""

import copy
import warnings
from functools import partial

import pytest
import torch
from helpers.real_peers import LATENTS, REAL_PEERS, RealPeer, torch_em

import fastpunet
from fastpunet.models import ProbabilisticUNet
from fastpunet.models.adapters.adapted import VerifiedEncoding

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
PEERS = {**REAL_PEERS, "torch-em, 5 classes": partial(torch_em, classes=5)}


def _peer(name) -> RealPeer:
    torch.manual_seed(0)
    try:
        return PEERS[name]()
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", PEERS)
def test_given_latents_decode_as_by_the_package_itself(name):
    peer, z = _peer(name), torch.randn(2, 6, LATENTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        sampler = fastpunet.Sampler(peer.model.train(), precision="ieee")
        encoding = sampler.encode(peer.images)
    assert type(encoding) is VerifiedEncoding
    got = sampler.decode(encoding, z, output="logits")
    peer.model.eval()
    exact = copy.deepcopy(peer)
    exact.model.double()
    truth = _own(exact, peer.images.double(), z.double())
    layouts = (torch.contiguous_format, torch.channels_last)  # in which PyTorch rounds differently
    own = [_own(peer, peer.images.contiguous(memory_format=layout), z) for layout in layouts]
    assert (got - truth).norm() <= 2 * max((values - truth).norm() for values in own)


@torch.no_grad()
def _own(peer, images, z):
    return torch.stack([peer.own_logits(images, z[:, k]) for k in range(z.shape[1])], 1)


@pytest.mark.parametrize("name", REAL_PEERS)
def test_hypotheses_are_distributed_as_those_of_the_packages_own_loop(name):
    peer, n = _peer(name), 400
    image = peer.images[:1]
    ours = fastpunet.sample(peer.model, image, n, seed=1, output="logits")[0]
    peer.model.eval()
    with torch.no_grad():
        peer.begin(image)
        own = torch.cat([peer.hypothesis() for _ in range(n)])
    pixel = own.flatten(1).std(0).argmax()
    ours, own = ours.flatten(1)[:, pixel], own.flatten(1)[:, pixel]
    for share in (0.25, 0.5, 0.75):
        assert abs((ours < own.quantile(share)).float().mean() - share) < 5 * (share * (1 - share) * 2 / n) ** 0.5


@pytest.mark.parametrize("encoder", ["resnet18", "mobilenet_v2"])
def test_segmentation_models_pytorch_in_place_of_the_u_net(encoder):
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    unet = smp.Unet(encoder, encoder_weights=None, in_channels=1, classes=8)
    model = ProbabilisticUNet(channels=(8, 16), latent_dim=LATENTS, unet=unet)
    images, labels = torch.rand(2, 1, 40, 50), torch.randint(0, 2, (2, 2, 40, 50))
    assert fastpunet.sample(model, images, 5, seed=0).shape == (2, 5, 40, 50)
    terms = model.loss_terms(images, labels, seed=0, ids=torch.arange(2))
    (terms.reconstruction + terms.kl.sum(-1)).mean().backward()
    assert all(p.grad is not None for p in unet.parameters())
