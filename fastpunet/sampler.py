"""A model ready to be sampled: encode once, then draw or decode as many hypotheses as you like."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from fastpunet.arguments import check_count, check_images
from fastpunet.chunks import assemble, default_chunk
from fastpunet.encoder import compiled_encode, encode
from fastpunet.graphs import GraphCache
from fastpunet.latents import HYPOTHESIS_LIMIT, check_ids, check_seed
from fastpunet.masks import PackedMasks
from fastpunet.models import foreign
from fastpunet.models.fcomb import SplitFComb, split_fcomb
from fastpunet.streams import through
from fastpunet_kernels import (
    OUTPUTS,
    PRECISIONS,
    Decoder,
    Gaussian,
    Sums,
    automatic_precision,
    decode_samples,
    decode_sums,
    fixed_precision,
    philox_normal,
    select_backend,
    tune_decode,
)

_GROUP_PIXELS = {"cpu": 1 << 18, "cuda": 1 << 22}  # pixels that go through the U-Net together


@dataclass(frozen=True, eq=False)
class Encoding:
    """What one U-Net pass leaves of a batch: all that hypotheses depend on, besides their latents."""

    features: Tensor  # float32 (B, C, H, W)
    mu: Tensor  # float32 (B, latent_dim), the prior's mean
    sigma: Tensor  # float32 (B, latent_dim), the prior's standard deviation


class Sampler:
    """A model, a precision and a backend, to be used over and over. The model's weights are those of each call.

    Arguments as in `sample`.
    """

    def __init__(self, model: nn.Module, *, precision: str = "auto", backend: str = "auto") -> None:
        self.model = foreign.check_model(model)
        check_precision(precision, self.device)
        select_backend(backend, self.device)
        self._precision, self.backend = precision, backend
        self._compiled: set[tuple[torch.Size, str]] = set()  # shapes and precisions for which that proved faster
        self._graphs = GraphCache()
        self._latent_dim: int | None = None

    @property
    def _parameter(self) -> Tensor:
        return next(self.model.parameters())

    @property
    def device(self) -> torch.device:
        """Where the model is now, and images must be."""
        return self._parameter.device

    @property
    def precision(self) -> str:
        """The precision in force; "auto" is looked up at each call."""
        return automatic_precision(self.device) if self._precision == "auto" else self._precision

    def check_images(self, images: Tensor) -> None:
        """Raise TypeError or ValueError unless images are finite floats (B, C, H, W), not empty, with the model's C."""
        check_images(images, foreign.in_channels(self.model), 2, self.device)

    def encode(self, images: Tensor) -> Encoding:
        """images float (B, C, H, W) to an Encoding: one pass through U-Net and prior net."""
        self.check_images(images)
        return self._encode(images)

    def tune(self, images: Tensor, n: int = 1000, output: str = "labels") -> dict[str, float]:
        """Compile the encoder for images of this shape, and use that from now on if it proves faster. Optional.

        Returns seconds: "compilation" (0 to 30, and a C++ compiler is needed), then "eager" and "compiled" a pass. On a
        GPU also "decoding" of n hypotheses to `output`, and "decoding, tuned": divided among the GPU's processors as
        proves fastest, which is remembered for GPUs of that name in $XDG_CACHE_HOME/fastpunet (half a minute).
        Results change by rounding, within the sampler's precision; weights are still those of each call.
        Raises RuntimeError where PyTorch cannot compile the model.
        """
        self.check_images(images)
        check_output(output)
        check_count("n", n, limit=HYPOTHESIS_LIMIT)
        start = time.perf_counter()
        try:
            self._pass(compiled_encode, images)
        except Exception as error:
            raise RuntimeError(
                f"tune: PyTorch could not compile the encoder: {error}\nInstall a C++ compiler (g++), or do without"
            ) from error
        seconds = {"compilation": time.perf_counter() - start}
        for name, form in (("eager", encode), ("compiled", compiled_encode)):
            run = {"run": partial(self._pass, form, images)}
            timer = Timer("run()", globals=run, num_threads=torch.get_num_threads())
            seconds[name] = timer.blocked_autorange(min_run_time=0.5).median
        if seconds["compiled"] < seconds["eager"]:
            self._compiled.add((images.shape, self.precision))
        if self.device.type == "cuda" and select_backend(self.backend, self.device) == "triton":
            seconds |= self._tune_decode(images, n, output)
        return seconds

    @torch.no_grad()
    def _tune_decode(self, images: Tensor, n: int, output: str) -> dict[str, float]:
        encoding = self._encode(images)
        split = split_fcomb(self.model.fcomb, encoding.mu.shape[1])  # type: ignore[arg-type]
        with fixed_precision(self.precision, self.device):
            base = split.base(encoding.features)
        prior = self._prior_latents(encoding, n, 0, None)(0, n)
        return tune_decode(base, split.decoder, prior, output=output, precision=self.precision)

    def _encode(self, images: Tensor) -> Encoding:
        compiled = (images.shape, self.precision) in self._compiled
        return self._pass(compiled_encode if compiled else encode, images)

    @torch.no_grad()
    def _pass(self, form: Callable[..., tuple[Tensor, Tensor, Tensor]], images: Tensor) -> Encoding:
        bf16 = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=False)
        with fixed_precision(self.precision, self.device), bf16, foreign.undisturbed(self.model):
            features, mu, sigma = form(self.model, images.to(self._parameter.dtype))
            return Encoding(features.float(), mu.float().contiguous(), sigma.float().contiguous())

    def sample(
        self,
        images: Tensor,
        n: int = 1000,
        *,
        seed: int | None = None,
        ids: Tensor | None = None,
        output: str = "labels",
    ) -> Any:
        """`encode` and `draw` in one, for batch after batch of one shape; arguments and result as of `sample`.

        On a GPU the second call for a shape, n, output and precision captures all of it as one CUDA graph, which later
        calls replay with their own images and seed, and the weights of the moment; the 8 graphs used last are kept. A
        UserWarning says why where that is impossible. All n are decoded at once: for an n too large for the memory take
        `stream`.
        """
        check_output(output)
        check_count("n", n, limit=HYPOTHESIS_LIMIT)
        return self.in_groups(partial(self._whole_call, n, output), images, seed, ids)

    def in_groups(self, call: Callable[..., Any], images: Tensor, seed: int | None, ids: Tensor | None) -> Any:
        """call(images, ids, seed) for as many images together as go through the U-Net at a time."""
        self.check_images(images)
        seed, checked = check_seed(seed), check_ids(ids, images.shape[0], images.device)
        group = max(1, _GROUP_PIXELS.get(images.device.type, 1 << 18) // (images.shape[-2] * images.shape[-1]))
        parts = (call(*both, seed) for both in zip(images.split(group), checked.split(group), strict=True))
        return assemble(parts, images.shape[0], dim=0)

    def _whole_call(self, n: int, output: str, images: Tensor, ids: Tensor, seed: int) -> Any:
        if self.device.type != "cuda":
            return self.draw(self._encode(images), n, seed=seed, ids=ids, output=output)
        return self._replayed(n, output, images, ids, seed)

    def _replayed(self, n: int, output: str, images: Tensor, ids: Tensor, seed: int) -> Any:
        """Noise outside the graph, which could not take another seed, and all else inside."""
        if self._latent_dim is None:
            self._latent_dim = self._encode(images[:1]).mu.shape[1]
        noise = philox_normal(seed, ids, 0, n, self._latent_dim, backend=self.backend)

        def whole(images: Tensor, noise: Tensor) -> Tensor:
            encoding = self._encode(images)
            z = torch.addcmul(encoding.mu[:, None], encoding.sigma[:, None], noise)
            parts = self._decode_chunks(encoding, lambda *_: z, n, n, self._whole(encoding, output))
            (decoded,) = parts
            return decoded.words if output == "bits" else decoded

        key = (output, self.precision, (images.shape, self.precision) in self._compiled)
        weights = (*self.model.parameters(), *self.model.buffers())
        result = self._graphs.call(key, whole, (images, noise), weights)
        return PackedMasks(result, tuple(images.shape[2:])) if output == "bits" else result

    def sample_batches(
        self, batches: Iterable[Tensor], n: int = 1000, *, seed: int | None = None, output: str = "labels"
    ) -> Iterator[Any]:
        """`sample` of batch after batch in main memory, such as a DataLoader's; what comes back is in main memory too.

        On a GPU the copies of one batch run beside the computation of the next. Ids count on from batch to batch, so
        that how images are batched changes nothing. A batch that does not fit is an error as of `sample`, when its turn
        comes.
        """
        check_output(output)
        check_count("n", n, limit=HYPOTHESIS_LIMIT)
        seed = check_seed(seed)

        def call(images: Tensor, first: int) -> Any:
            ids = torch.arange(first, first + len(images), device=self.device)
            return self.sample(images, n, seed=seed, ids=ids, output=output)

        return through(self.device, batches, call)

    def draw(
        self,
        encoding: Encoding,
        n: int = 1000,
        *,
        seed: int | None = None,
        ids: Tensor | None = None,
        output: str = "labels",
        chunk: int | None = None,
    ) -> Any:
        """n hypotheses of every encoded image from the prior; arguments and result as in `sample`."""
        check_count("n", n)
        return assemble(self.stream(encoding, n, seed=seed, ids=ids, output=output, chunk=chunk), n, dim=1)

    def stream(
        self,
        encoding: Encoding,
        n: int,
        *,
        seed: int | None = None,
        ids: Tensor | None = None,
        output: str = "labels",
        chunk: int | None = None,
    ) -> Iterator[Any]:
        """The same hypotheses in order, at most `chunk` at a time, so that no more need be held than one chunk."""
        latents = self._prior_latents(encoding, n, seed, ids)
        return self._decode_chunks(encoding, latents, n, chunk, self._whole(encoding, output))

    def stream_sums(
        self,
        encoding: Encoding,
        n: int,
        *,
        seed: int | None = None,
        ids: Tensor | None = None,
        chunk: int | None = None,
    ) -> Iterator[Sums]:
        """Sums over the same hypotheses, `chunk` at a time; none of them is kept (see `fastpunet.summarize`)."""
        latents = self._prior_latents(encoding, n, seed, ids)
        return self._decode_chunks(encoding, latents, n, chunk, partial(decode_sums, backend=self.backend))

    def decode(self, encoding: Encoding, z: Tensor, *, output: str = "labels", chunk: int | None = None) -> Any:
        """Decode given latents z float (B, n, latent_dim); the deterministic core. Result as in `sample`."""
        _check_encoding(encoding)
        images, latent_dim = encoding.mu.shape
        if not isinstance(z, Tensor) or z.ndim != 3 or (z.shape[0], z.shape[2]) != (images, latent_dim):
            got = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise ValueError(f"z: got {got}, expected ({images}, n, {latent_dim}): (B, n, latent_dim)")
        if not z.is_floating_point() or not torch.isfinite(z).all():
            raise ValueError(
                f"z: expected finite floats, got {z.dtype}" + (" with NaN or infinity" * z.is_floating_point())
            )
        check_count("z.shape[1]", z.shape[1])
        z = z.detach().to(encoding.mu)
        decode = self._whole(encoding, output)
        chunks = self._decode_chunks(
            encoding, lambda first, count: z[:, first : first + count], z.shape[1], chunk, decode
        )
        return assemble(chunks, z.shape[1], dim=1)

    def _prior_latents(
        self, encoding: Encoding, n: int, seed: int | None, ids: Tensor | None
    ) -> Callable[[int, int], Gaussian]:
        _check_encoding(encoding)
        check_count("n", n, limit=HYPOTHESIS_LIMIT)
        checked_seed, checked_ids = check_seed(seed), check_ids(ids, encoding.mu.shape[0], encoding.mu.device)
        return lambda first, count: Gaussian(encoding.mu, encoding.sigma, checked_ids, checked_seed, first, count)

    def _whole(self, encoding: Encoding, output: str) -> Callable[..., Any]:
        """Decodes some hypotheses to the named output, with the images' own height and width."""
        check_output(output)
        size = (encoding.features.shape[-2], encoding.features.shape[-1])

        def decode(base: Tensor, decoder: Decoder, latents: Tensor | Gaussian, precision: str) -> Any:
            part = decode_samples(base, decoder, latents, output=output, precision=precision, backend=self.backend)
            return PackedMasks(part, size) if output == "bits" else part.unflatten(-1, size)

        return decode

    def _decode_chunks(
        self,
        encoding: Encoding,
        latents: Callable[[int, int], Tensor | Gaussian],
        n: int,
        chunk: int | None,
        decode: Callable[..., Any],
    ) -> Iterator[Any]:
        split = split_fcomb(self.model.fcomb, encoding.mu.shape[1])  # type: ignore[arg-type]
        if split.feature_weight.shape[1] != encoding.features.shape[1] or encoding.mu.device != self.device:
            raise ValueError(
                f"encoding: got {encoding.features.shape[1]} features and {encoding.mu.shape[1]} latent dimensions on "
                f"{encoding.mu.device}, which do not fit this sampler's model on {self.device}; encode with it again"
            )
        if chunk is None:
            images, latent_dim = encoding.mu.shape
            chunk = default_chunk(images, latent_dim, split.feature_bias.numel(), self.device)
        check_count("chunk", chunk)
        return self._run(encoding, split, latents, n, chunk, decode)

    @torch.no_grad()
    def _run(
        self,
        encoding: Encoding,
        split: SplitFComb,
        latents: Callable[[int, int], Tensor | Gaussian],
        n: int,
        chunk: int,
        decode: Callable[..., Any],
    ) -> Iterator[Any]:
        precision = self.precision
        with fixed_precision(precision, self.device):
            base = split.base(encoding.features)
        for first in range(0, n, chunk):
            yield decode(base, split.decoder, latents(first, min(chunk, n - first)), precision=precision)


def check_precision(precision: str, device: torch.device) -> None:
    if precision not in PRECISIONS:
        raise ValueError(f"precision: got {precision!r}, expected one of {', '.join(PRECISIONS)}")
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(f'precision: "tf32" needs an NVIDIA GPU, the model is on {device}; take "ieee"')


def check_output(output: str) -> None:
    if output not in OUTPUTS:
        raise ValueError(f"output: got {output!r}, expected one of {', '.join(OUTPUTS)}")


def _check_encoding(encoding: object) -> None:
    if not isinstance(encoding, Encoding):
        raise TypeError(f"encoding: got {type(encoding).__name__}, expected what Sampler.encode(images) returns")
