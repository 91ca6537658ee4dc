"""Images in, hypotheses out, for every method: encode once, then draw or decode as many as you like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fastpunet.arguments import check_choice, check_count, check_images, check_pixels, pixel_range
from fastpunet.intensity import warn_if_unscaled
from fastpunet.latents import SAMPLERS, Noise, check_ids, check_latents, check_seed
from fastpunet.memory import assemble, check_memory, chunk_size, how_many, shaped
from fastpunet.models.adapters import adapt
from fastpunet.models.method import PIXEL_BYTES, Encoding, Method
from fastpunet.models.twin import evaluation_twin
from fastpunet.passes import Passes, check_finite
from fastpunet.replays import Replays
from fastpunet.streams import Pending, overlapped
from fastpunet_kernels import OUTPUTS, PRECISIONS, Sums, automatic_precision, select_backend
from fastpunet_kernels.threads import thread_count


def sample(
    model: nn.Module,
    images: Tensor,
    n: int = 1000,
    *,
    seed: int | None = None,
    ids: Tensor | None = None,
    output: str = "labels",
    precision: str = "auto",
    backend: str = "auto",
    sampler: str = "random",
    chunk: int | None = None,
) -> Any:
    """Draw n segmentation hypotheses for every image, in one pass of the U-Net (Kohl et al. 2018, section 2).

    Args:
        model: one of `fastpunet.models`, or any live Probabilistic U-Net that `fastpunet.adapt` knows, such as one with
            the PyTorch port's `unet`, `prior` and `fcomb`. Its layers compute as in evaluation mode, whatever mode the
            model is in, and the model is left as it is. A U-Net Ensemble and M-Heads have no more hypotheses than
            members or heads.
        images: float (B, C, H, W), or (B, C, D, H, W) for a model of volumes, scaled as in training, on the model's
            device; any size of at least one pixel.
        n: hypotheses of each image.
        seed: 0 <= seed < 2**63. The noise of hypothesis k of the image with id i is a function of (seed, i, k) alone.
            None takes a fresh seed from torch's global generator.
        ids: int64 (B,), by default 0 .. B-1. To sample a data set in batches, pass each image's own id.
        output: "labels" gives class indices uint8 (B, n, *size), in a binary model 1 where logit > 0; "logits" and
            "probs" give float32 (B, n, K, *size), probabilities by sigmoid (K = 1) or softmax; "bits" gives
            PackedMasks, one bit for each pixel and class.
        precision: "ieee" is as accurate as float32; "tf32" needs a GPU; "bf16"; "auto" is what PyTorch itself would
            use here.
        backend: "auto", "triton" (GPU), "native" (CPU) or "reference" (PyTorch). If every hypothesis of a method needs
            its own pass of a network, PyTorch computes it, and only "auto" and "reference" are possible.
        sampler: "random" draws independent hypotheses. "sobol" spreads an image's latents evenly over its prior by a
            scrambled Sobol sequence, which is most even when n is a power of two; "antithetic" gives hypothesis 2j + 1
            the latent mu - sigma e if that of 2j is mu + sigma e. Both need a prior that is one Gaussian; "sobol" also
            takes mixtures and flows. Means over hypotheses remain unbiased, and most have a smaller error
            (docs/sampling.md); hypotheses of one image are no longer independent, so that intervals that assume it do
            not hold.
        chunk: hypotheses computed at a time, which bounds temporary memory; by default as many as fit a fixed budget.

    Hypotheses do not depend on n, on chunk or on the other images of the batch. There is one exception: a network may
    round differently in batches of another shape, which changes about one pixel in a million, close to the threshold.

    Raises ValueError or TypeError, naming the argument, for input that does not fit, and RuntimeError for a backend
    that cannot run here.

    >>> import fastpunet, torch
    >>> model = fastpunet.load("lesions")
    >>> fastpunet.sample(model, torch.zeros(2, 1, 64, 64), n=16, seed=0).shape
    torch.Size([2, 16, 64, 64])
    """
    drawing = Sampler(model, precision=precision, backend=backend, sampler=sampler)
    return drawing.sample(images, n, seed=seed, ids=ids, output=output, chunk=chunk)


class Sampler:
    """Draws hypotheses from one model for batch after batch, in one precision, on one backend and with one sampler.

    The arguments are those of `sample`. Each call uses the weights that the model has when it encodes the images.
    Several threads may share one Sampler, as long as nobody changes the model meanwhile.
    """

    def __init__(
        self, model: nn.Module, *, precision: str = "auto", backend: str = "auto", sampler: str = "random"
    ) -> None:
        self.method: Method = adapt(model)
        check_choice("precision", precision, PRECISIONS)
        if precision == "tf32" and self.device.type != "cuda":
            raise ValueError(
                f'precision: got "tf32" for a model on {self.device}, expected one on an NVIDIA GPU; use "ieee"'
            )
        select_backend(backend, self.device)
        if backend not in self.method.backends:
            raise ValueError(
                f"backend: got {backend!r}, expected one of {', '.join(self.method.backends)}, because PyTorch "
                f"computes the hypotheses of {self.method.name}"
            )
        check_choice("sampler", sampler, tuple(SAMPLERS))
        if sampler != "random" and not self.method.gaussian_latent:
            raise ValueError(
                f"sampler: got {sampler!r}, expected random, because hypotheses of {self.method.name} are not drawn "
                "from a Gaussian latent"
            )
        self._precision, self.backend, self.sampler = precision, backend, sampler
        self._passes, self._replays = Passes(), Replays()

    @property
    def device(self) -> torch.device:
        """The device that the model is on now. Images must be on it too."""
        return self.method.device

    @property
    def precision(self) -> str:
        """The precision that a call would use now; "auto" is resolved at each call."""
        return automatic_precision(self.device) if self._precision == "auto" else self._precision

    @property
    def num_classes(self) -> int:
        """Classes of the hypotheses, 1 if they are binary."""
        return self.method.num_classes

    @property
    def max_hypotheses(self) -> int | None:
        """The largest number of hypotheses of one image, or None if there is no limit."""
        return self.method.max_hypotheses

    def sample(
        self,
        images: Tensor,
        n: int = 1000,
        *,
        seed: int | None = None,
        ids: Tensor | None = None,
        output: str = "labels",
        chunk: int | None = None,
    ) -> Any:
        """`encode` and `draw` in one call. Arguments and result are those of `fastpunet.sample`.

        On a GPU the second call with the same shape, n, output and precision captures the computation as one CUDA
        graph, unless `chunk` is given. Later calls replay the graph with their own images and seed and with the
        model's current weights. The 8 graphs used last are kept. If a graph is impossible, a UserWarning says why.
        While a graph is captured, PyTorch refuses other threads random numbers from the GPU's default generator.
        """
        return self._sample(images, n, check_seed(seed), ids, output, chunk).settled()

    def sample_batches(
        self, batches: Iterable[Any], n: int = 1000, *, seed: int | None = None, output: str = "labels"
    ) -> Iterator[Any]:
        """Yield the hypotheses of every batch. Batches, such as a DataLoader's, and results are in main memory.

        A batch is images (B, C, *size), or a pair (images, ids). Batches without ids are numbered consecutively, so
        that results do not depend on how images are batched. If several loaders or processes share a data set, pass
        ids; otherwise they draw the same noise. On a GPU the copies of one batch run while the next one is computed.
        A batch that does not fit the model raises the errors of `sample` when it is reached.
        """
        self._check_request(n, output, None)
        seed = check_seed(seed)

        def call(images: Tensor, ids: Tensor) -> Pending:
            return self._sample(images, n, seed, ids, output, None)

        return overlapped(self.device, batches, call)

    def encode(self, images: Tensor) -> Encoding:
        """Run the networks once over images float (B, C, *size); the result is all that their hypotheses share.

        Raises ValueError, naming the part, if the result holds NaN or infinity.
        """
        self._check_images(images)
        return self._encode(images)

    def encode_groups(self, images: Tensor, ids: Tensor | None = None) -> Iterator[tuple[Encoding, Tensor]]:
        """Encode the images in order, as many together as fit in memory; yield each encoding with its images' ids."""
        self._check_images(images)
        return ((self._encode(group), its) for _, group, its in self._groups(images, ids))

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
        """Draw n hypotheses of every encoded image. Arguments and result are those of `fastpunet.sample`."""
        n, chunk = self._check_request(n, output, chunk)
        noise = self._noise(encoding, n, seed, ids)
        check_memory(output, encoding.images, n, encoding.pixels, self.num_classes, self.device)
        parts = self._drawn(encoding, noise, output, chunk, whole=True)
        return assemble(((0, first, part) for first, part in parts), encoding.images, n)

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
        """Yield the hypotheses of `draw` in order, at most `chunk` at a time (default: as fit in 64 MiB, GPU 1 GiB)."""
        n, chunk = self._check_request(n, output, chunk)
        parts = self._drawn(encoding, self._noise(encoding, n, seed, ids), output, chunk, whole=False)
        return (part for _, part in parts)

    def stream_sums(
        self,
        encoding: Encoding,
        n: int,
        *,
        seed: int | None = None,
        ids: Tensor | None = None,
        chunk: int | None = None,
    ) -> Iterator[Sums]:
        """Yield sums over the hypotheses of `draw`, `chunk` at a time, and keep no hypothesis (see `summarize`)."""
        n, chunk = self._check_request(n, "logits", chunk)
        noise = self._noise(encoding, n, seed, ids)
        if chunk is None:
            chunk = chunk_size(self.method, encoding, n, "logits", whole=self.method.draws_by_networks(encoding))
        return self._each(encoding, noise.parts(chunk), lambda twin, part, **how: twin.sums(encoding, part, **how))

    def decode(self, encoding: Encoding, z: Tensor, *, output: str = "labels", chunk: int | None = None) -> Any:
        """Decode given latents z float (B, n, latent_dim) as `sample` does. TypeError if the model has no latent."""
        self._check_encoding(encoding)
        latent_dim = self.method.latent_dim_of(encoding)
        if not latent_dim:
            raise TypeError(f"model: {self.method.name} has no latent that could be decoded; use draw")
        z = check_latents(z, encoding.images, latent_dim, self.device)
        n, chunk = self._check_request(z.shape[1], output, chunk, limited=False)
        if chunk is None:
            chunk = chunk_size(self.method, encoding, n, output, whole=True)
        starts = range(0, n, chunk)
        decoded = self._each(
            encoding,
            (z[:, first : first + chunk] for first in starts),
            lambda twin, some, **how: twin.decode(encoding, some, output=output, **how),
        )
        parts = ((0, first, shaped(flat, output, encoding.size)) for first, flat in zip(starts, decoded, strict=True))
        return assemble(parts, encoding.images, n)

    def tune(self, images: Tensor, n: int = 1000, output: str = "labels") -> dict[str, float]:
        """Compile the networks for images of this shape, and use them from now on if they are faster. Optional.

        If a batch is too large to be encoded at once, the networks are tuned for the parts that it will be divided
        into. Returns seconds: "compilation" (0 to 30; it needs a C++ compiler), and "eager" and "compiled" for one
        pass. On a GPU it takes half a minute more to find the fastest tiling for decoding n hypotheses to `output`;
        "decoding" is the time before, "decoding, tuned" the time after. The tiling is remembered for GPUs of that name
        in $XDG_CACHE_HOME/fastpunet. Results change by rounding, within the sampler's precision. Each call still uses
        the model's current weights. Raises RuntimeError if PyTorch cannot compile the model.
        """
        n, _ = self._check_request(n, output, None)
        self._check_images(images)
        shapes = {group.shape: (group, its) for _, group, its in self._groups(images, None)}
        seconds: dict[str, float] = {}
        for group, its in shapes.values():
            twin = evaluation_twin(self.method)
            took = self._passes.tune(twin, group, self.precision)
            if select_backend(self.backend, self.device) == "triton":
                took |= twin.tune(self._encode(group), self._recipe(n, 0, its), output=output, precision=self.precision)
            seconds = {name: seconds.get(name, 0.0) + value for name, value in took.items()}
        self._replays.forget()  # graphs that were captured before hold the tilings of then
        return seconds

    def _sample(self, images: Tensor, n: int, seed: int, ids: Tensor | None, output: str, chunk: int | None) -> Pending:
        """`sample`, before anybody has looked at the values of what a CUDA graph has computed."""
        n, chunk = self._check_request(n, output, chunk)
        check_images(images, self.method.in_channels, self.method.dims, self.device)
        check_memory(output, len(images), n, images[0, 0].numel(), self.num_classes, images.device)
        replayed = images.device.type == "cuda" and chunk is None
        groups: list[Tensor] = []
        facts: list[Tensor] = []

        def parts() -> Iterator[tuple[int, int, Any]]:
            for first, group, its in self._groups(images, ids):
                noise = self._recipe(n, seed, its)
                if replayed:
                    drawn = self._replays.draw(self.method, self._passes, group, noise, output, self.precision)
                    groups.append(group)
                    facts.append(drawn.facts)
                    yield first, 0, shaped(drawn.hypotheses, output, tuple(images.shape[2:]))
                else:
                    twin = evaluation_twin(self.method)
                    encoding = self._encode(group, twin)
                    whole = len(group) == len(images)
                    for hypothesis, part in self._drawn(encoding, noise, output, chunk, whole=whole, twin=twin):
                        yield first, hypothesis, part

        def judge(facts: Tensor) -> None:
            for group, (least, most, finite) in zip(groups, facts.tolist(), strict=True):
                self._check_pixels(least, most)
                if not finite:
                    self._encode(group)  # raises the error that names the part
                    raise ValueError(
                        "model: got NaN or infinity from a CUDA graph, but none when the same pass ran without it; "
                        "please report this"
                    )

        if not replayed:
            self._check_pixels(*pixel_range(images))
        hypotheses = assemble(parts(), len(images), n)
        return Pending(hypotheses, torch.stack(facts) if facts else torch.empty(0, 3), judge)

    def _encode(self, images: Tensor, twin: Method | None = None) -> Encoding:
        thread_count()  # the networks take as many
        encoding = self._passes.encode(evaluation_twin(self.method) if twin is None else twin, images, self.precision)
        check_finite(encoding)
        return encoding

    def _groups(self, images: Tensor, ids: Tensor | None) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Groups of as many images as fit in memory: the index of the first image, the images, their ids."""
        ids = check_ids(ids, len(images), images.device)
        group = how_many(PIXEL_BYTES * images[0, 0].numel(), images.device)
        return (
            (first, images[first : first + group], ids[first : first + group]) for first in range(0, len(images), group)
        )

    def _drawn(
        self,
        encoding: Encoding,
        noise: Noise,
        output: str,
        chunk: int | None,
        *,
        whole: bool,
        twin: Method | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """Hypotheses in chunks, each with the index of its first hypothesis."""
        if chunk is None:
            chunk = chunk_size(self.method, encoding, noise.n, output, whole=whole)
        return self._each(
            encoding,
            noise.parts(chunk),
            lambda twin, part, **how: (
                part.first,
                shaped(twin.draw(encoding, part, output=output, **how), output, encoding.size),
            ),
            twin,
        )

    @torch.no_grad()
    def _each(
        self, encoding: Encoding, parts: Iterable[Any], compute: Callable[..., Any], twin: Method | None = None
    ) -> Iterator[Any]:
        """compute(method, part, precision, backend) for every part, by a twin of the method if its networks run."""
        precision = self.precision
        if twin is None:
            twin = evaluation_twin(self.method) if self.method.draws_by_networks(encoding) else self.method
        for part in parts:
            yield compute(twin, part, precision=precision, backend=self.backend)

    def _noise(self, encoding: Encoding, n: int, seed: int | None, ids: Tensor | None) -> Noise:
        self._check_encoding(encoding)
        return self._recipe(n, check_seed(seed), check_ids(ids, encoding.images, self.device))

    def _recipe(self, n: int, seed: int, ids: Tensor) -> Noise:
        return Noise(seed, ids, 0, n, self.backend, self.sampler)

    def _check_request(self, n: object, output: str, chunk: object, *, limited: bool = True) -> tuple[int, int | None]:
        """Check n, output and chunk, and return n and chunk as ints."""
        check_choice("output", output, OUTPUTS)
        n = check_count("n", n, limit=SAMPLERS[self.sampler])
        if limited and self.max_hypotheses is not None and n > self.max_hypotheses:
            raise ValueError(
                f"n: got {n}, expected at most {self.max_hypotheses}: {self.method.name} has no more "
                "hypotheses of an image"
            )
        return n, None if chunk is None else check_count("chunk", chunk)

    def _check_images(self, images: Tensor) -> None:
        check_images(images, self.method.in_channels, self.method.dims, self.device)
        self._check_pixels(*pixel_range(images))

    def _check_pixels(self, least: float, most: float) -> None:
        check_pixels(least, most)
        if self.method.intensity is not None:  # then it was trained on images in [0, 1]
            warn_if_unscaled(least, most)

    def _check_encoding(self, encoding: object) -> None:
        expected = self.method.encoding_kind
        if not isinstance(encoding, expected):
            raise TypeError(
                f"encoding: got {type(encoding).__name__}, expected the {expected.__name__} that encode(images) returns"
            )
        if encoding.device != self.device:
            raise ValueError(
                f"encoding: got device {encoding.device}, expected {self.device} as the model; encode the images again"
            )
