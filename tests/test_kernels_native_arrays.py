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
        "levels": None,
        "maps": None,
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
        (
            "maps",
            (torch.zeros(1, 3, 1, 4).numpy(), torch.zeros(2, 1).numpy(), [2, 2], [2]),
            "maps: expected a size and",
        ),
        ("maps", (torch.zeros(1, 3, 1, 4).numpy(), torch.zeros(2, 1).numpy(), [2, 2], [4, 1]), "maps: expected a grid"),
        (
            "maps",
            (torch.zeros(1, 3, 1, 4).numpy(), torch.zeros(2, 1).numpy(), [2, 3], [2, 2]),
            "maps: expected the size",
        ),
        ("maps", (torch.zeros(1, 3, 1, 4).numpy(), torch.zeros(1, 1).numpy(), [2, 2], [2, 2]), "maps: expected weight"),
        ("maps", (torch.zeros(1, 3, 1, 3).numpy(), torch.zeros(2, 1).numpy(), [2, 2], [2, 2]), "maps: expected values"),
    ):
        with pytest.raises(ValueError, match=message):
            launch.kernels.decode(**arrays | {name: value})
    with pytest.raises(TypeError):
        launch.kernels.decode(**arrays | {"base": torch.zeros(1, 4, 2).double().numpy()})
    assert (arrays["out"] == 9).all()
    launch.kernels.decode(**arrays)
    assert (arrays["out"] == 0).all()


def test_gradients_that_do_not_fit_are_refused():
    """Of one image, 4 pixels, 2 units, 3 hypotheses of 5 dimensions and one class: 3 weights and biases."""
    arrays = {
        "gradient": torch.ones(1, 3, 1, 4).numpy(),
        "base": torch.zeros(1, 4, 2).numpy(),
        "z": torch.zeros(1, 3, 5).numpy(),
        "z_weight": torch.zeros(2, 5).numpy(),
        "weights": [torch.zeros(1, 2).numpy()],
        "biases": [torch.zeros(1).numpy()],
        "base_gradient": torch.full((1, 4, 2), 9.0).numpy(),
        "offset_sums": torch.zeros(1, 2, 3, 2).double().numpy(),
        "weight_sums": torch.zeros(1, 2, 3).double().numpy(),
        "capability": 0,
        "threads": 1,
    }
    for name, shape in (
        ("gradient", (1, 3, 1, 5)),
        ("base_gradient", (1, 4, 1)),
        ("offset_sums", (1, 1, 3, 2)),
        ("weight_sums", (1, 2, 4)),
    ):
        wrong = torch.zeros(shape, dtype=torch.float64 if name.endswith("sums") else torch.float32).numpy()
        with pytest.raises(ValueError, match="got other sizes than the gradients have"):
            launch.kernels.decode_gradients(**arrays | {name: wrong})
    with pytest.raises(ValueError, match="weight_sums: expected"):
        launch.kernels.decode_gradients(**arrays | {"weight_sums": torch.zeros(6).double().numpy()})
    assert (arrays["base_gradient"] == 9).all()
    launch.kernels.decode_gradients(**arrays)
    assert (arrays["base_gradient"] == 0).all()
    assert arrays["weight_sums"].sum(1).tolist() == [[0, 0, 12]]
    logits = {name: arrays[name] for name in ("base", "z", "z_weight", "weights", "biases", "capability", "threads")}
    with pytest.raises(ValueError, match="out: got another size than the logits have"):
        launch.kernels.decode_logits(**logits, out=torch.zeros(1, 3, 1, 5).numpy())
