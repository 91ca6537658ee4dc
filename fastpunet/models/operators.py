"""Observes what a function does with tensors: which operators run, and whether the host looks at values."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# A function made of these alone is smooth but for its ReLUs, so that one which equals another at random points, on both
# sides of zero, hardly differs elsewhere. What chooses by value (clamp, where, sort, >, ...) is not among them.
_SMOOTH = frozenset(
    (
        *("convolution", "_convolution", "conv1d", "conv2d", "conv3d", "cudnn_convolution"),
        *("miopen_convolution", "linear", "addmm", "mm", "bmm", "baddbmm", "matmul", "einsum", "mv", "addmv"),
        *("dot", "vdot", "tril", "triu", "eye", "linalg_matrix_exp", "t", "transpose", "permute", "movedim"),
        *("view", "_unsafe_view", "view_as", "reshape", "_reshape_alias", "flatten", "unflatten", "unsqueeze"),
        *("squeeze", "expand", "expand_as", "repeat", "tile", "cat", "concat", "stack", "split", "chunk"),
        *("split_with_sizes", "tensor_split", "narrow", "unbind", "select", "slice", "index_select"),
        *("as_strided", "alias", "detach", "clone", "copy", "_to_copy", "to", "contiguous", "lift_fresh"),
        *("lift_fresh_copy", "empty", "empty_like", "empty_strided", "new_empty", "new_zeros", "new_ones"),
        *("new_full", "zeros", "ones", "zeros_like", "ones_like", "full", "full_like", "fill", "zero"),
        *("scalar_tensor", "arange", "linspace", "add", "sub", "rsub", "mul", "div", "neg", "addcmul"),
        *("addcdiv", "pow", "sqrt", "rsqrt", "exp", "log", "sum", "mean", "norm", "linalg_vector_norm"),
        *("_weight_norm_interface", "_weight_norm", "relu", "leaky_relu", "prelu", "_prelu_kernel", "sigmoid"),
        *("softmax", "_softmax", "log_softmax", "_log_softmax", "dropout", "feature_dropout", "batch_norm"),
        *("_batch_norm_impl_index", "native_batch_norm", "_native_batch_norm_legit_no_training"),
        *("_batch_norm_no_update", "cudnn_batch_norm", "miopen_batch_norm"),
    )
)
# How Python code reads the values of a tensor without an operator, and the operators by which it does.
_METHODS_THAT_READ = frozenset(("numpy", "tolist", "__array__", "__dlpack__", "data_ptr", "untyped_storage", "storage"))
_READS = _METHODS_THAT_READ | {"_local_scalar_dense", "equal", "nonzero", "unique", "_unique2", "masked_select"}

# Operators of _SMOOTH by which a function can be as another at most points, and differ in a small region.
_BENDING = frozenset(("relu", "leaky_relu", "_prelu_kernel", "sigmoid", "exp", "log", "pow"))


class Operators(ExitStack):
    """A context that records the names of the operators that run inside it, and of methods that read values."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.calls: list[str] = []

    def __enter__(self) -> Operators:
        super().__enter__()
        self.enter_context(_Methods(self.names))
        self.enter_context(_Dispatched(self.names, self.calls))
        return self

    @property
    def choosing(self) -> list[str]:
        """The operators and methods through which a result may depend on the values in a way that probes can miss."""
        return sorted(self.names - _SMOOTH)

    @property
    def bends(self) -> int:
        """How many activations and other operators ran that bend a function."""
        return sum(name.rstrip("_") in _BENDING for name in self.calls)

    @property
    def reads(self) -> bool:
        """Whether Python code looked at the values of tensors."""
        return bool(self.names & _READS)


class _Dispatched(TorchDispatchMode):
    def __init__(self, names: set[str], calls: list[str]) -> None:
        super().__init__()
        self._names, self._calls = names, calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self._names.add(name.rstrip("_"))
        self._calls.append(name)
        return func(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self._names = names

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _METHODS_THAT_READ:
            self._names.add(name)
        return func(*args, **(kwargs or {}))
