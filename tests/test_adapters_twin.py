"""The twin of a model: its weights, evaluation mode, and nothing of a pass left on the model itself."""

import copy
import threading
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fastpunet.models.twin import evaluation_twin


class _Net(nn.Module):
    """Refers to its own modules in every way that is not a plain attribute."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm2d(2), nn.Dropout(0.5)
        self.listed = [nn.Conv2d(2, 2, 1), {"key": (nn.Conv2d(2, 2, 1), 3)}]
        self.bound = self.norm.forward
        self.partial = partial(self.listed[0], input=None)
        self.seen = []
        self.norm.register_forward_hook(lambda *_: self.seen.append(self.calls))  # a closure over self
        self.drop.register_forward_hook(self.after_dropout)
        self.calls = 0

    def after_dropout(self, _module, inputs, output):
        self.dropped = (inputs[0] == output).float().mean()

    def forward(self, x):
        self.calls += 1
        self.last_input = x
        x = self.drop(self.bound(x) + self.norm(x))
        return self.listed[1]["key"][0](self.listed[0](x)) + len(self.seen)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return _Net().train()


def _in_evaluation_mode(net, x):
    net.seen.clear()
    expected = net.eval()(x)
    net.train()
    net.seen.clear()
    net.calls = 0
    return expected


def _state(module):
    return {name: dict(vars(m)) for name, m in module.named_modules()}


def test_a_twin_computes_what_the_model_would_in_evaluation_mode(net):
    net(torch.rand(4, 2, 5, 5))  # running statistics of its own
    x = torch.rand(2, 2, 5, 5)
    expected = _in_evaluation_mode(net, x)
    assert torch.equal(evaluation_twin(net)(x), expected)


def test_a_pass_of_the_twin_leaves_nothing_on_the_model(net):
    before, values = _state(net), copy.deepcopy(net.state_dict())
    twin = evaluation_twin(net)
    twin(torch.rand(4, 2, 5, 5))
    assert (twin.calls, twin.seen, float(twin.dropped)) == (1, [1], 1.0)
    after = _state(net)
    assert before.keys() == after.keys()
    for name, attributes in before.items():
        assert attributes.keys() == after[name].keys()
        assert all(after[name][key] is value for key, value in attributes.items())
    assert (net.calls, net.seen) == (0, [])
    for name, value in values.items():
        assert torch.equal(net.state_dict()[name], value)


def test_every_reference_to_a_module_is_to_one_and_the_same_twin(net):
    twin = evaluation_twin(net)
    assert twin.bound.__self__ is twin.norm is not net.norm
    assert twin.partial.func is twin.listed[0] is not net.listed[0]
    assert twin.listed[1]["key"][0] is not net.listed[1]["key"][0]
    assert not any(module.training for module in [*twin.modules(), twin.listed[0], twin.listed[1]["key"][0]])


def test_weights_are_shared_and_buffers_are_copies(net):
    twin = evaluation_twin(net)
    with torch.no_grad():
        net.norm.weight.fill_(7)
        twin.norm.running_mean.fill_(9)
    assert (twin.norm.weight == 7).all()
    assert (net.norm.running_mean == 0).all()


def test_gradients_reach_the_models_own_parameters():
    conv = nn.Conv2d(1, 1, 1)
    evaluation_twin(conv)(torch.ones(1, 1, 2, 2)).sum().backward()
    assert float(conv.weight.grad) == 4


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weight_norm_works_and_leaves_the_stale_weight_as_it_was():
    conv = nn.utils.weight_norm(nn.Conv2d(2, 2, 1))
    conv(torch.rand(1, 2, 2, 2))
    with torch.no_grad():
        conv.weight_g.mul_(2)
    stale, x = conv.weight, torch.rand(1, 2, 3, 3)
    got = evaluation_twin(conv)(x)
    assert conv.weight is stale
    assert torch.equal(got, conv(x))


def test_compiled_modules_are_taken_out_of_their_wrappers():
    net = nn.Sequential(torch.compile(nn.Conv2d(1, 1, 1), backend="eager"), nn.ReLU())
    twin = evaluation_twin(torch.compile(net, backend="eager"))
    assert type(twin) is nn.Sequential
    assert type(twin[0]) is nn.Conv2d
    twin[0].compile(backend="eager")
    assert evaluation_twin(twin)[0]._compiled_call_impl is None


def test_shared_modules_and_circles_keep_their_shape():
    shared = nn.Conv2d(1, 1, 1)
    net = nn.Sequential(shared, shared)
    net.circle = [net]
    twin = evaluation_twin(net)
    assert twin[0] is twin[1]
    assert twin.circle[0] is twin


def test_functions_and_containers_without_modules_keep_their_identity_or_are_copied():
    net = nn.Identity()
    settings = {"a": [1, 2]}
    net.settings, net.function, net.sizes = settings, lambda: settings, (1, 2)
    twin = evaluation_twin(net)
    twin.settings["a"].append(3)
    assert settings == {"a": [1, 2]}
    assert twin.function() is twin.settings
    assert twin.sizes is net.sizes


class _Runner:
    def __init__(self, net, settings):
        self.nets, self.settings = {"all": [net]}, settings

    def __call__(self, x):
        return self.nets["all"][0](x)


@dataclass(frozen=True)
class _Frozen:
    net: nn.Module


@pytest.mark.parametrize("kind", ["a namespace", "a frozen data class", "an object that is called", "a bound method"])
def test_objects_that_hold_modules_refer_to_twins(kind):
    torch.manual_seed(0)
    net = nn.Module()
    net.norm = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.5))
    runner = _Runner(net.norm, settings := object())
    net.parts, net.forward = {
        "a namespace": (parts := SimpleNamespace(net=net.norm), lambda x: parts.net(x)),
        "a frozen data class": (frozen := _Frozen(net.norm), lambda x: frozen.net(x)),
        "an object that is called": (runner, runner),
        "a bound method": (runner, runner.__call__),
    }[kind]
    x, before = 3 + torch.rand(4, 2, 5, 5), copy.deepcopy(net.norm.state_dict())
    twin = evaluation_twin(net.train())
    torch.testing.assert_close(twin.forward(x), x / (1 + 1e-5) ** 0.5)  # running mean 0, running variance 1
    assert all(torch.equal(value, before[name]) for name, value in net.norm.state_dict().items())
    if twin.parts.__class__ is _Runner:
        assert twin.parts is not runner
        assert twin.parts.settings is settings


def test_a_scripted_module_is_used_as_it_is_or_refused():
    scripted = torch.jit.script(nn.Conv2d(1, 1, 1))
    with pytest.raises(ValueError, match="^model: it holds a TorchScript module in training mode; call model.eval"):
        evaluation_twin(nn.Sequential(scripted))
    assert evaluation_twin(nn.Sequential(scripted.eval()))[0] is scripted


def test_a_thread_that_trains_and_one_that_uses_twins_do_not_meet(net):
    """The trainer flips modes, moves running means and sets attributes; the twin's answers never change."""
    net.norm.momentum = 0.0  # so that the right answer stays the same while the trainer runs
    x = torch.rand(2, 2, 5, 5)
    expected = _in_evaluation_mode(net, x)
    wrong, stop = [], threading.Event()

    def use():
        for _ in range(60):
            twin = evaluation_twin(net)
            twin.seen.clear()
            if not torch.equal(twin(x), expected):
                wrong.append(1)
        stop.set()

    user = threading.Thread(target=use)
    user.start()
    calls = 0
    while not stop.is_set():
        net.train()
        net(x)
        calls += 1
        assert net.training
        assert net.calls == calls
    user.join()
    assert not wrong
    assert len(net.seen) == calls
