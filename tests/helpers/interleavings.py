"""Random interleavings of what people do with a model: `python -m helpers.interleavings COUNT [SEED]`.

An accelerated model and one that is not do the same things. Each hypothesis has to be the same for both, and so has the
state of the global generator afterwards.
"""

from __future__ import annotations

import copy
import pickle
import random
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

import fastpunet
from benchmarks.port import PortModel
from helpers.peers import Combiner, L, Peer, layers

POOL = ThreadPoolExecutor(3)


def _port() -> nn.Module:
    return PortModel(1, 3, (4, 6), L, 3)


def _normed() -> nn.Module:
    return Peer(combiner=Combiner(layers(lambda: nn.LeakyReLU(0.1), norm="before")))


def _dropped() -> nn.Module:
    made = layers()
    made.insert(2, nn.Dropout(0.5))
    return Peer(combiner=Combiner(made))


class _Outside(Combiner):
    """Values outside the layers, which change nothing until somebody changes them."""

    def __init__(self, kind: str) -> None:
        super().__init__(layers())
        self.kind, self.settings = kind, {"flip": False}
        if kind == "parameter":
            self.scale = nn.Parameter(torch.ones(1))
        elif kind == "buffer":
            self.register_buffer("scale", torch.ones(1))
        else:
            self.scale = torch.ones(1)

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        logits = super().forward(features, z) * self.scale.to(features.dtype)
        return -logits if self.settings["flip"] else logits


KINDS = (
    _port,
    _normed,
    _dropped,
    lambda: Peer(combiner=_Outside("parameter")),
    lambda: Peer(combiner=_Outside("buffer")),
    lambda: Peer(combiner=_Outside("tensor")),
)


class Pair:
    """An accelerated model, and the same one without."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        torch.manual_seed(seed)
        self.own = self.dice.choice(KINDS)().eval()
        self.make, self.base = type(self.own), copy.deepcopy(self.own)
        self.fast = fastpunet.accelerate(copy.deepcopy(self.own))
        self.copies: list[tuple[nn.Module, nn.Module]] = []
        self.image()

    def both(self) -> tuple[nn.Module, nn.Module]:
        return self.fast, self.own

    def same(self, run, *, what: str) -> None:
        """Run something on both from one state of the generator; the results and the states have to agree."""
        state = torch.get_rng_state()
        expected = run(self.own)
        after = torch.get_rng_state()
        torch.set_rng_state(state)
        got = run(self.fast)
        assert torch.equal(torch.get_rng_state(), after), f"{what}: the generator's state differs"
        for one, other in zip(got, expected, strict=True):
            assert one.dtype == other.dtype
            error, scale = float((one - other).norm()), float(other.norm())
            assert error <= 1e-4 * scale + 1e-6, f"{what}: {error} of {scale}"

    def image(self) -> None:
        size = self.dice.choice(((8, 8), (8, 12), (4, 8)))
        x = torch.rand(self.dice.choice((1, 2)), 1, *size, dtype=next(self.own.parameters()).dtype)
        self.shape = x.shape
        with torch.no_grad():
            for model in self.both():
                torch.manual_seed(3)
                model(x, None, training=False)

    def sample(self) -> None:
        count = self.dice.choice((1, 1, 2, 5, 12))
        with self.dice.choice((torch.no_grad, torch.no_grad, torch.inference_mode, torch.enable_grad))():
            testing = self.dice.random() < 0.7
            self.same(lambda model: [model.sample(testing).detach() for _ in range(count)], what="sample")

    def written_over(self) -> None:
        """A result that its owner changes."""
        with torch.no_grad():
            for model in self.both():
                state = torch.get_rng_state()
                model.sample(True).fill_(7)
                torch.set_rng_state(state)
        self.sample()

    def given_latents(self) -> None:
        features = self.own.unet_features
        zs = [torch.randn(len(features), L, dtype=features.dtype) for _ in range(3)]
        with torch.no_grad():
            self.same(lambda model: [model.fcomb(model.unet_features, z) for z in zs], what="given latents")

    def threads(self) -> None:
        if self.own.fcomb.training:  # dropout and running means depend on the order of the threads
            return
        features = self.own.unet_features
        zs = [torch.randn(len(features), L, dtype=features.dtype) for _ in range(6)]

        def decode(model: nn.Module, z: Tensor) -> Tensor:
            with torch.no_grad():
                return model.fcomb(model.unet_features, z)

        self.same(lambda model: list(POOL.map(lambda z: decode(model, z), zs)), what="threads")

    def load(self) -> None:
        for part in self.dice.choice((["fcomb"], ["unet", "prior", "fcomb"])):
            fresh = copy.deepcopy(getattr(self.base, part)).to(next(self.own.parameters()).dtype)
            with torch.no_grad():
                for parameter in fresh.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
            assign = self.dice.random() < 0.3
            for model in self.both():
                state = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
                getattr(model, part).load_state_dict(state, assign=assign)

    def step(self) -> None:
        """A step of an optimiser, whose gradients come from a hypothesis of its own."""
        for model in self.both():
            torch.manual_seed(4)
            x = torch.rand(self.shape, dtype=next(model.parameters()).dtype)
            model(x, None, training=False)
            loss = model.sample(False).square().mean()
            optimiser = torch.optim.SGD(model.fcomb.parameters(), lr=0.1)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()

    def edit(self) -> None:
        """Weights or features changed in place, also where PyTorch counts no change."""
        tensor, factor = self.dice.choice(("weight", "bias", "features", "data")), self.dice.uniform(0.5, 1.5)
        with torch.no_grad():
            for model in self.both():
                parameters = list(model.fcomb.parameters())
                if tensor == "features":
                    model.unet_features = model.unet_features.clone()
                    model.unet_features.data.mul_(factor)
                elif tensor == "data":
                    parameters[0].data.mul_(factor)
                else:
                    parameters[0 if tensor == "weight" else -1].mul_(factor).add_(0.01)

    def structure(self) -> None:
        """An attribute of a layer that is no weight."""
        slope = self.dice.choice((0.0, 0.2, 0.5))
        for model in self.both():
            for module in model.fcomb.modules():
                if isinstance(module, nn.LeakyReLU):
                    module.negative_slope = slope

    def outside(self) -> None:
        """A value of the combiner that none of its layers holds."""
        flip, factor = self.dice.random() < 0.5, self.dice.uniform(0.5, 1.5)
        for model in self.both():
            if isinstance(model.fcomb, _Outside):
                model.fcomb.settings["flip"] = flip
                model.fcomb.scale.data.fill_(factor)

    def mode(self) -> None:
        training = self.dice.random() < 0.4
        for model in self.both():
            model.train(training)

    def dtype(self) -> None:
        dtype = self.dice.choice((torch.float32, torch.float64))
        for model in self.both():
            model.to(dtype)
        self.image()

    def deep_copy(self) -> None:
        """Go on with a copy, or with what was copied and has not changed since."""
        old = self.both()
        fast, own = (self._copied(model) for model in old)
        self.copies = [*self.copies[-2:], (fast, own)]
        if self.dice.random() < 0.5:
            self.fast, self.own = self.dice.choice(self.copies)
            if self.own.unet_features.dtype != next(self.own.parameters()).dtype:  # of modules that a copy shares
                self.image()

    def _copied(self, model: nn.Module) -> nn.Module:
        for name in ("unet_features", "prior_latent_space", "z_prior_sample"):
            if isinstance(value := vars(model).get(name), Tensor):
                setattr(model, name, value.detach().clone())
        with torch.no_grad():
            prior = model.prior_latent_space.base_dist
            model.prior_latent_space = torch.distributions.Independent(
                torch.distributions.Normal(prior.loc.detach().clone(), prior.scale.detach().clone()), 1
            )
        return copy.deepcopy(model)

    def shallow_copy(self) -> None:
        self.fast, self.own = map(copy.copy, self.both())
        self.sample()

    def pickled(self) -> None:
        if self.make is PortModel:
            self.fast, self.own = (pickle.loads(pickle.dumps(self._copied(model))) for model in self.both())
            if self.dice.random() < 0.5:
                fastpunet.accelerate(self.fast)

    def seed(self) -> None:
        torch.manual_seed(self.dice.randrange(3))

    def other_draws(self) -> None:
        torch.rand(self.dice.choice((1, 3, 20)))


STEPS = {
    Pair.sample: 12,
    Pair.image: 3,
    Pair.given_latents: 1,
    Pair.written_over: 1,
    Pair.threads: 1,
    Pair.load: 2,
    Pair.step: 1,
    Pair.edit: 3,
    Pair.structure: 1,
    Pair.outside: 2,
    Pair.mode: 2,
    Pair.dtype: 1,
    Pair.deep_copy: 2,
    Pair.shallow_copy: 1,
    Pair.pickled: 1,
    Pair.seed: 2,
    Pair.other_draws: 1,
}
CHANGES = (Pair.load, Pair.edit, Pair.structure, Pair.outside, Pair.mode)


def run(steps: int, seed: int) -> Counter:
    """So many steps with one pair of models. AssertionError, with the steps so far, if a hypothesis differs."""
    pair, done = Pair(seed), []
    for _ in range(steps):
        step = pair.dice.choices(list(STEPS), list(STEPS.values()))[0]
        done.append(step.__name__)
        try:
            if step in CHANGES:  # between two hypotheses
                pair.sample()
            step(pair)
            if step in CHANGES:
                pair.sample()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, after {', '.join(done)}: {error}") from error
    return Counter(done)


def main(count: int, seed: int = 0) -> None:
    total: Counter = Counter()
    while total.total() < count:
        total += run(50, seed)
        seed += 1
    print(f"{total.total()} steps, none stale: {dict(total.most_common())}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
