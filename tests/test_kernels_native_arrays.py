"""The bindings of the compiled CPU kernels: arrays that do not fit are errors."""

import pytest
import torch

from fastpunet_kernels.native import launch

if launch.kernels is None:
    pytest.skip(f"native kernels: {launch.WHY_MISSING}", allow_module_level=True)


def test_arrays_that_do_not_fit_are_refused_and_nothing_is_written():
    arrays = {
        "base": torch.zeros(1, 4, 2).numpy(),
        "z": torch.zeros(1, 3, 5).numpy(),
        "z_weight": torch.zeros(2, 5).numpy(),
        "weights": [torch.zeros(1, 2).numpy()],
        "biases": [torch.zeros(1).numpy()],
        "out": torch.full((1, 3, 4), 9, dtype=torch.uint8).numpy(),
        "output": "labels",
        "precision": "ieee",
        "capability": 0,
        "threads": 1,
    }
    for name, value, message in (
        ("output", "logits", "out: got another size"),
        ("z", torch.zeros(1, 3, 4).numpy(), "z: expected"),
        ("z", torch.zeros(2, 3, 5).numpy(), "z: expected"),
        ("z_weight", torch.zeros(3, 5).numpy(), "z_weight: expected"),
        ("biases", [torch.zeros(2).numpy()], "weights: expected"),
        ("capability", 99, "capability"),
    ):
        with pytest.raises(ValueError, match=message):
            launch.kernels.decode(**arrays | {name: value})
    with pytest.raises(TypeError):
        launch.kernels.decode(**arrays | {"base": torch.zeros(1, 4, 2).double().numpy()})
    assert (arrays["out"] == 9).all()
    launch.kernels.decode(**arrays)
    assert (arrays["out"] == 0).all()
