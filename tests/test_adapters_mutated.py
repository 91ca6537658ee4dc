"""Mutated structures: each decodes given latents as the model itself does, or is refused with the reason."""

from collections import Counter
from functools import partial

import pytest
import torch
from helpers.mutated_combiners import AXES, mutated_model, mutation
from helpers.peers import Combiner, L, Peer

import fastpunet
from fastpunet.models.adapters.adapted import OwnEncoding, VerifiedEncoding

MUTATIONS = 4 * sum(map(len, AXES.values()))
ROUNDING = 2.0**-23  # relative, of float32: the least error that is asked for

pytestmark = [
    pytest.mark.filterwarnings("ignore:the model's combiner"),
    pytest.mark.filterwarnings("ignore:the model's `sample`"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def _own(model, images, z):
    """What the model's networks give in evaluation mode, (B, n, K, *size), in their dtype."""
    dtype = next(model.eval().parameters()).dtype
    with torch.no_grad():
        return torch.stack([model.combined(images.to(dtype), z[:, k].to(dtype)) for k in range(z.shape[1])], 1)


def outcome(make, images, z):
    """One of "kernels", "own pass", "refused"; an AssertionError if logits are neither the model's own nor refused."""
    model = make()
    sampler = fastpunet.Sampler(model, precision="ieee")
    try:
        encoding = sampler.encode(images)
        last = getattr(encoding, "last_activation", None)
        got = sampler.decode(encoding, z, output="probs" if last in ("softmax", "sigmoid") else "logits")
    except (ValueError, TypeError) as error:
        message = str(error)
        assert message.startswith("model: ")
        assert "\n" not in message
        return "refused"
    truth, single = _own(make().double(), images, z), make()
    own = _own(single.float() if next(single.parameters()).dtype == torch.float64 else single, images, z)
    error, allowed = ((values.double() - truth).norm() for values in (got, own))
    assert error <= 2 * allowed + ROUNDING * truth.norm(), (
        f"{error / truth.norm():.1e}, own {allowed / truth.norm():.1e}"
    )
    return {VerifiedEncoding: "kernels", OwnEncoding: "own pass"}[type(encoding)]


def test_no_mutation_is_wrong():
    outcomes, wrong = Counter(), []
    for index in range(MUTATIONS):
        images, z = torch.rand(2, 1, 8, 12), torch.randn(2, 3, L)
        try:
            outcomes[outcome(partial(mutated_model, index), images, z)] += 1
        except AssertionError as error:
            wrong.append((index, mutation(index), str(error)[:200]))
    assert not wrong
    assert sum(outcomes.values()) == MUTATIONS >= 200
    assert min(outcomes[kind] for kind in ("kernels", "own pass", "refused")) > 30


class Odd(Combiner):
    """Does what no look at a few pixels would show."""

    def __init__(self, change):
        super().__init__()
        self.change, self.calls = change, 0

    def forward(self, features, z):
        return self.change(super().forward, features, z, self)


def _count(combiner):
    combiner.calls += 1
    return combiner.calls


def _times(x, condition, factor=2.0):
    return x * factor if condition else x


DECEIVING = {
    "large features": lambda own, f, z, _: own(f.clamp(max=20), z),
    "features above all that was seen": lambda own, f, z, _: own(f.clamp(max=1e6), z),
    "large latents": lambda own, f, z, _: own(f, z.clamp(-5, 5)),
    "large logits": lambda own, f, z, _: own(f, z).clamp(-1e5, 1e5),
    "one column": lambda own, f, z, _: own(f * torch.ones(f.shape[-1]).index_fill(0, torch.tensor([5]), 2.0), z),
    "one pixel of one image": lambda own, f, z, _: own(f, z) + _corner(f),
    "images wider than 4": lambda own, f, z, _: _times(own(f, z), f.shape[-1] > 4),
    "batches of two": lambda own, f, z, _: _times(own(f, z), len(f) == 2),
    "the batch's mean": lambda own, f, z, _: own(f, z) - own(f, z).mean(0, keepdim=True),
    "latents of one sign": lambda own, f, z, _: own(f, -z if bool((z > 0).all()) else z),
    "the sign of one latent": lambda own, f, z, _: own(f, torch.cat((z[:, :1].abs(), z[:, 1:]), 1)),
    "a rare latent": lambda own, f, z, _: _times(own(f, z), z[0, 0] > 1.5),
    "a rare latent, seen by NumPy": lambda own, f, z, _: _times(own(f, z), z.numpy()[0, 0] > 2),
    "a rare latent, seen as a list": lambda own, f, z, _: _times(own(f, z), z.tolist()[0][1] < -1.9),
    "a rare latent, without a branch": lambda own, f, z, _: own(f, z) * (1 + (z[:, :1, None, None] > 2).float()),
    "dark images": lambda own, f, z, _: _times(own(f, z), float(f.mean()) < -0.05),
    "ranks": lambda own, f, z, _: own(f, z.sort(1).values),
    "neighbours": lambda own, f, z, _: own(f + 1e-3 * f.roll(1, 3), z),
    "every seventh call": lambda own, f, z, c: _times(own(f, z), _count(c) % 7 == 0),
    "the first call": lambda own, f, z, c: _times(own(f, z), _count(c) == 1),
    "noise": lambda own, f, z, _: own(f, z) * (1 + 1e-3 * torch.rand_like(f[:, :1])),
    "a small bump": lambda own, f, z, _: own(f, z) + 1e-2 * (-((f[:, :2] - 1) ** 2)).exp(),
}


def _corner(features):
    values = torch.zeros(features.shape[0], 1, *features.shape[2:])
    values[-1, 0, 1, 2] = 1.0
    return values


@pytest.mark.parametrize("name", DECEIVING)
@pytest.mark.parametrize("images", [1, 2])
def test_no_deceiving_combiner_is_wrong(name, images):
    def make():
        torch.manual_seed(0)
        return Peer(combiner=Odd(DECEIVING[name])).eval()

    x, z = torch.rand(images, 1, 8, 12), 2 * torch.randn(images, 6, L)
    right = name == "batches of two" and images != 2  # then the kernels give what the model gives
    assert (outcome(make, x, z) == "kernels") == right


def test_a_combiner_that_looks_at_values_gets_one_latent_at_a_time():
    """It is right for each image and latent alone, though its code decides for a batch by the first of its latents."""
    model = Peer(combiner=Odd(lambda own, f, z, _: _times(own(f, z), z[0, 0] > 400))).eval()
    image, z = torch.rand(1, 1, 8, 12), torch.tensor([[[500.0, 0, 0], [0, 1, 0]]])
    sampler = fastpunet.Sampler(model, precision="ieee")
    got = sampler.decode(sampler.encode(image), z, output="logits")
    torch.testing.assert_close(got, _own(model, image, z))
