"""Hypotheses that are decoded ahead: the model's own, the generator's state untouched, never stale."""

import copy
import pickle

import pytest
import torch
from helpers import interleavings
from helpers.peers import Combiner, Peer, layers
from torch import nn

import fastpunet
from benchmarks.port import PortModel
from fastpunet.acceleration import decoding


@pytest.fixture
def port():
    torch.manual_seed(0)
    model = PortModel(1, 3, (8, 12), 3).eval()
    with torch.no_grad():
        model(torch.rand(2, 1, 16, 24), None, training=False)
    return model


@pytest.fixture
def decoded(monkeypatch):
    """The numbers of latents that the kernels decoded, one entry a call."""
    counts = []
    own = decoding.decode_samples

    def counting(base, decoder, z, **options):
        counts.append(z.shape[1])
        return own(base, decoder, z, **options)

    monkeypatch.setattr(decoding, "decode_samples", counting)
    return counts


def _loop(model, count, testing=True):
    with torch.no_grad():
        return torch.stack([model.sample(testing) for _ in range(count)])


@pytest.mark.parametrize("testing", [True, False])
def test_a_loop_is_decoded_in_few_calls_and_is_the_models_own(port, decoded, testing):
    torch.manual_seed(1)
    expected, state = _loop(port, 100, testing), torch.get_rng_state()
    fastpunet.accelerate(port)
    torch.manual_seed(1)
    got = _loop(port, 100, testing)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(torch.get_rng_state(), state)
    assert decoded == [1, 1, 5, 9, 17, 33, 64]  # the comparison, one without foresight, and then ahead


def test_what_is_foreseen_wrongly_is_never_used_and_soon_not_decoded(port, decoded):
    fastpunet.accelerate(port)
    torch.manual_seed(1)
    _loop(port, 20)
    del decoded[:]
    own, results = [], []
    for seed in range(20):
        torch.manual_seed(seed)
        results.append(_loop(port, 1))
    del port.fcomb.forward
    for seed in range(20):
        torch.manual_seed(seed)
        own.append(_loop(port, 1))
    torch.testing.assert_close(results, own, rtol=1e-4, atol=1e-5)
    assert decoded == 20 * [1]


def test_a_result_belongs_to_its_caller(port):
    fastpunet.accelerate(port)
    torch.manual_seed(1)
    first = _loop(port, 12).clone()
    for _ in range(2):  # the second time all of them are there already
        torch.manual_seed(1)
        with torch.no_grad():
            for k in range(12):
                result = port.sample(True)
                torch.testing.assert_close(result, first[k])
                assert result.untyped_storage().nbytes() == result.nbytes
                result.fill_(0)


def test_memory_is_bounded(port, decoded, monkeypatch):
    monkeypatch.setattr(decoding, "_AHEAD_BYTES", 3 * 4 * 2 * 3 * 16 * 24)
    fastpunet.accelerate(port)
    _loop(port, 30)
    assert max(decoded) == 3
    del decoded[:]
    monkeypatch.setattr(decoding, "_AHEAD_BYTES", 1)
    _loop(port, 30)
    assert max(decoded) == 1


def test_the_posteriors_latents_are_foreseen_too(port, decoded):
    with torch.no_grad():
        port.posterior_latent_space = port.posterior(torch.rand(2, 2, 16, 24))
    fastpunet.accelerate(port)
    with torch.no_grad():
        for _ in range(20):
            port.fcomb(port.unet_features, port.posterior_latent_space.sample())
    assert len(decoded) < 8


def test_copies_decode_ahead_on_their_own(port, decoded):
    fastpunet.accelerate(port)
    _loop(port, 10)
    twin = copy.deepcopy(port)
    del decoded[:]
    _loop(twin, 40)
    assert len(decoded) < 10
    again = pickle.loads(pickle.dumps(port))
    del decoded[:]
    _loop(again, 10)
    assert decoded == [1] * 10  # right, but without foresight
    del decoded[:]
    _loop(fastpunet.accelerate(again), 40)
    assert len(decoded) < 10
    alone = copy.deepcopy(port.fcomb)
    with torch.no_grad():
        z = torch.randn(2, 3)
        torch.testing.assert_close(alone(port.unet_features, z), port.fcomb(port.unet_features, z))


def test_hooks_inside_the_combiner_run_at_each_hypothesis(port):
    fastpunet.accelerate(port)
    _loop(port, 10)
    calls = []
    handle = port.fcomb.layers[0].register_forward_hook(lambda *_: calls.append(1))
    _loop(port, 7)
    assert len(calls) == 7
    handle.remove()
    _loop(port, 7)
    assert len(calls) == 7


class _ByMode(Combiner):
    """Does something else in training mode, which none of its layers shows."""

    def forward(self, features, z):
        return super().forward(features, z) * (2 if self.training else 1)


@pytest.mark.parametrize("training", [True, False])
def test_a_combiner_that_depends_on_the_mode(training):
    torch.manual_seed(0)
    model = Peer(combiner=_ByMode(layers())).eval()
    fast = fastpunet.accelerate(copy.deepcopy(model))
    features, z = torch.rand(1, 8, 4, 4), torch.randn(1, 3)
    with torch.no_grad():
        for _ in range(2):
            for mode in (training, not training):
                expected = model.train(mode).fcomb(features, z)
                torch.testing.assert_close(fast.train(mode).fcomb(features, z), expected, rtol=1e-4, atol=1e-5)


def test_what_is_not_finite_comes_from_the_model_itself(port):
    fastpunet.accelerate(port)
    with torch.no_grad():
        port.unet_features[0, 0, 0, 0] = torch.nan
        assert port.sample(True).isnan().any()


def test_half_precision_is_compared_as_such():
    torch.manual_seed(0)
    model = Peer(combiner=Combiner(layers(nn.ReLU))).eval().bfloat16()
    features, z = torch.rand(1, 8, 4, 4).bfloat16(), torch.randn(1, 3).bfloat16()
    with torch.no_grad():
        expected = model.fcomb(features, z)
        fastpunet.accelerate(model)
        for _ in range(2):
            got = model.fcomb(features, z)
            assert got.dtype == torch.bfloat16
            torch.testing.assert_close(got, expected, rtol=0.05, atol=0.05)
    assert vars(model.fcomb)["forward"].args[1].verdict.verified is not None


class _OnSize(Combiner):
    def forward(self, features, z):
        return super().forward(features, z) * (1 if features.shape[-1] == 4 else 2)


def test_a_combiner_that_depends_on_the_size_is_compared_for_each():
    model = Peer(combiner=_OnSize(layers())).eval()
    fast = fastpunet.accelerate(copy.deepcopy(model))
    with torch.no_grad():
        for width in (4, 6, 4, 6):
            features, z = torch.rand(1, 8, 4, width), torch.randn(1, 3)
            torch.testing.assert_close(fast.fcomb(features, z), model.fcomb(features, z), rtol=1e-4, atol=1e-5)


class _ByObject(Combiner):
    def forward(self, features, z):
        return super().forward(features, z) * self.held()


class _Factor:
    value = 1

    def __call__(self):
        return self.value


def _closure():
    values = [1]
    function = lambda: values[0]  # noqa: E731
    return function, lambda: values.__setitem__(0, 2)


def _object():
    factor = _Factor()
    return factor, lambda: setattr(factor, "value", 2)


@pytest.mark.parametrize("made", [_closure, _object])
def test_what_objects_and_functions_hold_is_never_stale(made):
    held, change = made()
    combiner = _ByObject(layers())
    combiner.held = held
    model = Peer(combiner=combiner).eval()
    features, z = torch.rand(1, 8, 4, 4), torch.randn(1, 3)
    fastpunet.accelerate(model)
    with torch.no_grad():
        before = [model.fcomb(features, z) for _ in range(3)][-1]
        change()
        torch.testing.assert_close(model.fcomb(features, z), 2 * before, rtol=1e-4, atol=1e-5)


def test_autocast_decides_the_type_as_without(port):
    fast = fastpunet.accelerate(copy.deepcopy(port))
    for enabled in (True, False, True, False):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            z = torch.randn(2, 3)
            got, own = fast.fcomb(port.unet_features, z), port.fcomb(port.unet_features, z)
            assert got.dtype == own.dtype == (torch.bfloat16 if enabled else torch.float32)
            torch.testing.assert_close(got, own, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_stale_whatever_is_done_between_hypotheses(seed):
    """`python -m helpers.interleavings 10000` does more of the same."""
    interleavings.run(40, seed)
