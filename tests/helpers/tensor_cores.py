"""A model of how tensor cores multiply matrices of TF32, for Triton's interpreter, which multiplies in float32.

Of 8 products and the sum so far, none rounded, each is cut off at two bits below the last place of the largest; so is
what they add up to, at its own last place. With this, the mean errors of two former kernels on the problem of
benchmarks/gpu_kernels.py are 2.9e-7 and 3.9e-7; an H100 and an H200 had 3.0e-7 and 4.1e-7.
"""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from triton._C.libtriton.ir import INPUT_PRECISION
from triton.runtime import interpreter

from fastpunet_kernels.triton import decode, layers

Floats = NDArray[np.floating]
STEP = 8  # products that are added to a sum at a time
MORE = 2  # bits that the addends keep below the last place of the largest
NOTHING = -200  # the exponent of zero, below all others


def multiply_as_tensor_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the decoding kernel do what it does on a GPU of compute capability 9, but for instructions of that GPU."""
    rectified, exactly = layers.rectified, interpreter.InterpreterBuilder.create_dot

    def plainly(x: Any, precision: Any, _: Any) -> Any:
        return rectified(x, precision, 0)

    def create_dot(builder: Any, left: Any, right: Any, total: Any, precision: Any, *others: Any) -> Any:
        if precision != INPUT_PRECISION.TF32:
            return exactly(builder, left, right, total, precision, *others)
        return interpreter.TensorHandle(product(left.data, right.data, total.data), total.dtype.scalar)

    monkeypatch.setattr(decode, "compute_capability", lambda _: 9)
    for module in (decode, layers):
        monkeypatch.setattr(module, "rectified", plainly)
    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)


def product(left: Floats, right: Floats, total: Floats) -> Floats:
    """total + left @ right, of float32 (M, K), (K, N) and (M, N)."""
    left, right, sums = cut_off(left, 13), cut_off(right, 13), total.astype(np.float64)
    of_left, of_right = exponents(left), exponents(right)
    for k in range(0, left.shape[1], STEP):
        some = slice(k, k + STEP)
        products = left[:, some, None].astype(np.float64) * right[some]
        largest = np.maximum(exponents(sums), (of_left[:, some, None] + of_right[some]).max(1))
        unit = np.ldexp(1.0, largest - 23 - MORE)
        added = np.trunc(sums / unit) + np.trunc(products / unit[:, None]).sum(1)
        sums = cut_off(added * unit, 52 - 23)
    return sums.astype(np.float32)


def exponents(x: Floats) -> NDArray[np.int32]:
    return np.where(x == 0, NOTHING, np.frexp(x)[1] - 1).astype(np.int32)


def cut_off(x: Floats, lost: int) -> Floats:
    """x without its `lost` lowest bits."""
    words = x.view(np.int32 if x.dtype == np.float32 else np.int64)
    return (words >> lost << lost).view(x.dtype)
