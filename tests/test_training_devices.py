"""Where a run trains."""

import pytest

from fastpunet.training.run import _devices


def test_the_device_is_the_one_that_is_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert _devices("cpu")["accelerator"] == "cpu"
    assert [_devices(name)["devices"] for name in ("cuda", "cuda:1")] == [1, [1]]
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    expected = {"accelerator": "gpu", "devices": 2, "num_nodes": 2, "strategy": "ddp"}
    assert _devices("cuda") == expected
    with pytest.raises(ValueError, match="device: got 'cuda:1' for 4 processes, expected 'cuda', one for each"):
        _devices("cuda:1")
