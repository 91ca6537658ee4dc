"""accelerate: the port's own loop, the same hypotheses, faster."""

import copy
import pickle

import pytest
import torch

import fastpunet
from benchmarks.port import PortModel


@pytest.fixture
def port():
    torch.manual_seed(0)
    return PortModel(1, 3, (8, 12), 3).eval()


def _loop(model, image, count=4):
    torch.manual_seed(5)
    with torch.no_grad():
        model(image, None, training=False)
        return torch.stack([model.sample(testing=True) for _ in range(count)])


def test_the_loop_gives_the_same_hypotheses(port, monkeypatch):
    image = torch.rand(2, 1, 16, 24)
    expected = _loop(port, image)
    assert fastpunet.accelerate(port) is port
    monkeypatch.setattr(port.fcomb, "forward", lambda *_: pytest.fail("the model's own f_comb ran"))
    torch.testing.assert_close(_loop(port, image), expected, rtol=1e-4, atol=1e-5)
    assert port.z_prior_sample.shape == (2, 3)


def test_new_images_and_new_weights_are_seen(port):
    images = torch.rand(2, 1, 1, 16, 16)
    fastpunet.accelerate(port)
    first = _loop(port, images[0])
    second = _loop(port, images[1])
    with torch.no_grad():
        port.fcomb.layers[0].weight.mul_(2)
        changed = _loop(port, images[1])
    del port.sample
    assert not torch.allclose(first, second)
    torch.testing.assert_close(changed, _loop(port, images[1]), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(changed, second)


def test_gradients_still_flow(port):
    fastpunet.accelerate(port)
    port.unet.requires_grad_(False)
    port.prior.requires_grad_(False)
    port(torch.rand(1, 1, 16, 16), None, training=False)
    port.sample(testing=False).sum().backward()
    assert port.fcomb.layers[0].weight.grad.abs().sum() > 0


def test_inference_mode_works(port):
    image = torch.rand(1, 1, 16, 16)
    expected = _loop(port, image)
    fastpunet.accelerate(port)
    with torch.inference_mode():
        torch.testing.assert_close(_loop(port, image), expected, rtol=1e-4, atol=1e-5)


def test_copies_are_of_their_own(port):
    fastpunet.accelerate(port)
    image = torch.rand(1, 1, 16, 16)
    expected = _loop(port, image)
    for twin in (copy.deepcopy(port), pickle.loads(pickle.dumps(port))):
        torch.testing.assert_close(_loop(twin, image), expected)
        with torch.no_grad():
            twin.fcomb.last_layer.bias.add_(100)
        torch.testing.assert_close(_loop(twin, image), expected + 100)
    torch.testing.assert_close(_loop(port, image), expected)


@pytest.mark.parametrize("model", [torch.nn.Linear(1, 1), fastpunet.ProbabilisticUNet(channels=(4,))])
def test_models_without_that_loop_are_refused(model):
    with pytest.raises(TypeError, match="^model: got"):
        fastpunet.accelerate(model)
