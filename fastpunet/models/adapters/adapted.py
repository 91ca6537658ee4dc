"""A Probabilistic U-Net written elsewhere as a method: its own code encodes, and kernels that agree with it decode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fastpunet.latents import Noise
from fastpunet.models.adapters.injected import combiner_of, run_injected
from fastpunet.models.adapters.observing import Memory, memory_of
from fastpunet.models.adapters.parts import Parts, attribute
from fastpunet.models.adapters.prior_forms import closed_form, find_distribution
from fastpunet.models.adapters.running import run_model
from fastpunet.models.affine import leaves
from fastpunet.models.combiner_calls import Call
from fastpunet.models.combiner_comparison import Verified
from fastpunet.models.confirmation import Known, check_seen, confirm
from fastpunet.models.exportable import Exportable, NamedTensors, TiledDecode
from fastpunet.models.fcomb import SplitFComb
from fastpunet.models.latent_method import LatentEncoding, LatentMethod
from fastpunet.models.method import Encoding, LossTerms, Method, arithmetic, to_output
from fastpunet.models.priors import AxisAligned, Prior
from fastpunet.models.sampled_prior import Sampled, draw_once
from fastpunet.models.verification import find_call, verify
from fastpunet.waits import may_wait
from fastpunet.warning import warn
from fastpunet_kernels import BACKENDS, Gaussian, Sums

Encode = Callable[[Tensor], tuple[Tensor, Any]]  # images (B, C, *size) to features (B, F, *size) and a prior


@dataclass(frozen=True, eq=False)
class VerifiedEncoding(LatentEncoding):
    """The encoding of a batch whose latents the kernels decode.

    last_activation  the "sigmoid", "softmax" or "log-softmax" that the model's combiner ends in; None without one
    """

    last_activation: str | None


@dataclass(frozen=True, eq=False)
class OwnEncoding(Encoding):
    """The encoding of a batch whose latents the model's own combiner decodes.

    features  float32 (B, C, *size)
    prior     the distribution of z for each image
    call      how the combiner is called
    at_once   whether it is called with several latents at once
    """

    features: Tensor
    prior: Prior
    call: Call
    at_once: bool

    def parts(self) -> dict[str, Tensor]:
        return {"the U-Net's features": self.features, **self.prior.parts()}


class AdaptedModel(LatentMethod):
    """A live model of another make. Each call uses the weights and the structure that the model has at that time.

    Each time that images are encoded, the combiner is read in the form of the kernels, and that form is compared with
    the combiner's own forward pass. If the two differ, the combiner's own forward pass decodes, which is right but
    slower, and a UserWarning says so once.
    """

    encoding_kind = Encoding  # type: ignore[assignment]
    backends = BACKENDS
    in_channels: int | None = None  # type: ignore[assignment]  # the U-Net itself decides
    config: dict[str, Any] = {}  # noqa: RUF012  its constructor's arguments are unknown

    def __init__(self, model: nn.Module, encode: Encode, combiner: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.model = model
        self._encode, self._combiner = encode, combiner
        self._memory = Memory()
        self.dims = 3 if any(isinstance(module, nn.Conv3d) for module in model.modules()) else 2
        self._check()

    @classmethod
    def of_parts(cls, model: nn.Module, parts: Parts) -> AdaptedModel:
        """Adapt a model that has its U-Net, prior net and combiner as attributes."""
        memory = memory_of(model)
        return cls._with(memory, model, partial(run_model, model, parts, memory), partial(_combiner, model, parts))

    @classmethod
    def of_injected(cls, model: nn.Module, unet: str) -> AdaptedModel:
        """Adapt a model whose U-Net contains the combiner."""
        memory = memory_of(model)
        return cls._with(
            memory, model, partial(run_injected, model, unet, memory), partial(combiner_of, model, unet, memory)
        )

    @classmethod
    def _with(cls, memory: Memory, *arguments: Any) -> AdaptedModel:
        adapted = cls(*arguments)
        adapted._memory = memory
        return adapted

    @property
    def name(self) -> str:
        return type(self.model).__name__

    @property
    def combiner(self) -> nn.Module:
        return self._combiner()

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        """The number of outputs of the combiner's last layer."""
        for module in reversed(list(leaves(self.combiner))):
            width = getattr(module, "out_channels", None) or getattr(module, "out_features", None)
            if isinstance(width, int):
                return width
        raise TypeError(
            f"model: its combiner, a {type(self.combiner).__name__}, has no layer with out_channels or out_features, "
            "which tell the number of classes; add one, or a convolution, as its last layer"
        )

    def features_and_prior(self, images: Tensor) -> tuple[Tensor, Prior]:
        try:
            features, returned = self._encode(images)
        except ValueError as error:
            if images.dtype == self.dtype or "do not take images" not in str(error):
                raise
            raise ValueError(
                f"images: got {images.dtype}, which the networks with weights of {self.dtype} do not take; convert the "
                "images to that dtype, or the model with model.float()"
            ) from error
        if not isinstance(features, Tensor) or (features.shape[0], *features.shape[2:]) != (
            images.shape[0],
            *images.shape[2:],
        ):
            got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ValueError(f"model: its features are {got}, expected (B, C, *size) for images {tuple(images.shape)}")
        seen = self._memory.seen
        prior = self._read_prior(returned, features, images)
        self._memory.seen = seen  # reading it may have taken passes of single images
        unheard = self._memory.unobserved and not self._memory.told_sample and may_wait()
        if unheard and all(torch.isfinite(part).all() for part in (features, *prior.parts().values())):  # else an error
            self._memory.told_sample = True
            warn(
                f"the model's `sample` could not be traced ({self._memory.unobserved}), so fastpunet leaves out "
                "what it does to features, latents and logits; compare its hypotheses with these, or say what it does "
                "with fastpunet.adapt(model, encode=..., combiner=...)"
            )
        return features, prior

    def encoding_of(self, features: Tensor, prior: Prior) -> VerifiedEncoding | OwnEncoding:
        images, size = len(features), tuple(features.shape[2:])
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            verified = self._verified(features, prior.latent_dim)
            if verified is not None:
                split = verified.split
                base, last = split.base(features), verified.last_activation
                return VerifiedEncoding(images, size, features, prior, base, split.decoder, last)
            found = find_call(self.combiner, features, prior.latent_dim, self.num_classes, self._memory.calls)
        return OwnEncoding(images, size, features, prior, *found)

    def split_for(self, features: Tensor, prior: Prior) -> SplitFComb:
        verified = self._verified(features, prior.latent_dim)
        if verified is None:
            raise ValueError(
                "model: its combiner does more than 1x1 convolutions with ReLUs between them, which is all that the "
                "kernels compute"
            )
        return verified.split

    def exportable(self, images: Tensor) -> Exportable:
        features, prior = self.features_and_prior(images)
        encoding = self.encoding_of(features, prior)
        if not isinstance(encoding, OwnEncoding):
            return super().exportable(images)
        call = partial(encoding.call, self.combiner)
        return Exportable(NamedTensors(self, self.exported_tensors), TiledDecode(self, call), prior)

    def draws_by_networks(self, encoding: Encoding) -> bool:  # type: ignore[override]
        return isinstance(encoding, OwnEncoding)

    def scratch_bytes(self, encoding: Encoding) -> int:  # type: ignore[override]
        if isinstance(encoding, OwnEncoding):
            return Method.scratch_bytes(self, encoding)
        return super().scratch_bytes(encoding)  # type: ignore[arg-type]

    def logits(self, encoding: Any, noise: Noise) -> Tensor:
        if isinstance(encoding, OwnEncoding):
            return self._own_logits(encoding, self.latents(encoding, noise))
        return super().logits(encoding, noise)

    def decode(self, encoding: Any, z: Tensor | Gaussian, *, output: str, precision: str, backend: str) -> Tensor:
        if isinstance(encoding, OwnEncoding):
            with arithmetic(precision, encoding.device):
                return to_output(self._own_logits(encoding, z), output)
        last = encoding.last_activation
        if output == "logits" and last in ("sigmoid", "softmax"):
            raise ValueError(
                f'output: got "logits", but the combiner of this model ends in a {last}; use output="probs"'
            )
        decoded = super().decode(encoding, z, output=output, precision=precision, backend=backend)
        return decoded.log_softmax(2) if output == "logits" and last == "log-softmax" else decoded

    def differentiable_logits(self, encoding: Any, z: Tensor, pixels: Tensor | None = None) -> Tensor:
        """As of `LatentMethod`. Of a combiner that ends in a sigmoid or softmax these are the logits before it."""
        if not isinstance(encoding, OwnEncoding):
            return super().differentiable_logits(encoding, z, pixels)
        with arithmetic("ieee", encoding.device):
            logits = self._own_logits(encoding, z).to(z.dtype)
        return logits if pixels is None else logits.flatten(3)[..., pixels]

    def sums(self, encoding: Any, noise: Noise, *, precision: str, backend: str) -> Sums:
        if isinstance(encoding, OwnEncoding):
            return Method.sums(self, encoding, noise, precision=precision, backend=backend)
        return super().sums(encoding, noise, precision=precision, backend=backend)

    def tune(self, encoding: Any, noise: Noise, *, output: str, precision: str) -> dict[str, float]:
        if isinstance(encoding, OwnEncoding):
            return {}
        return super().tune(encoding, noise, output=output, precision=precision)

    def loss_terms(self, *args: Any, **options: Any) -> LossTerms:
        raise TypeError(f"model: got {self.name}, which fastpunet cannot train; train it with its own code")

    def output_layers(self) -> Sequence[Any]:
        raise TypeError(f"model: the output layers of {self.name} are not known")

    def _check(self) -> None:
        classes = self.num_classes
        if classes > 256:
            raise ValueError(f"model: got {classes} classes, expected at most 256 (labels are uint8)")

    def _read_prior(self, returned: Any, features: Tensor, images: Tensor) -> Prior:
        if isinstance(returned, Prior):
            return returned
        distribution = find_distribution(returned)
        known = closed_form(distribution, images.shape[0])
        if known is not None:
            return known
        alone = [distribution]
        if len(images) > 1:  # so that what is drawn for one image depends on no other
            alone = [find_distribution(self._encode(image[None])[1]) for image in images]
        try:
            return Sampled(alone, draw_once(alone[0], 0).numel())
        except TypeError as error:
            raise TypeError(
                f"model: its prior, a {type(distribution).__name__}, cannot be drawn from by sample() alone: "
                f"{error}; wrap it with fastpunet.adapt(model, encode=..., combiner=...)"
            ) from None

    def _verified(self, features: Tensor, latent_dim: int) -> Verified | None:
        """The combiner in the kernels' form for features (B, C, *size); None, with a warning, if it decodes itself."""
        combiner, memory = self.combiner, self._memory
        if not may_wait():  # which a comparison does
            if features.shape not in memory.known:
                raise RuntimeError("the combiner has not been verified, or decodes by its own forward pass")
            return memory.known[features.shape].read(combiner, latent_dim)
        seen, memory.seen = memory.seen, None
        known = memory.known.get(features.shape)
        verified = None if known is None else confirm(combiner, features, latent_dim, known, seen)
        if verified is not None:
            return verified
        memory.known.pop(features.shape, None)
        verified = verify(combiner, features, latent_dim, memory.calls)
        if verified is not None:
            if seen is not None:
                check_seen(combiner, features, verified, seen)
            memory.known[features.shape] = Known(*verified[1:], None if seen is None else seen.operators.calls)
        elif not memory.told_own:
            memory.told_own = True
            warn(
                f"the model's combiner, a {type(combiner).__name__}, decodes by its own forward pass, which is "
                "slower than the kernels: it is not 1x1 convolutions with ReLUs between them"
            )
        return verified

    def _own_logits(self, encoding: OwnEncoding, z: Tensor | Gaussian) -> Tensor:
        if isinstance(z, Gaussian):
            z = AxisAligned(z.mu, z.sigma).of_normals(Noise(z.seed, z.ids, z.first, z.n).normals(z.mu.shape[1]))
        combiner, dtype = self.combiner, self.dtype
        rows = []
        for features, latents in zip(encoding.features.to(dtype), z.to(dtype), strict=True):
            for part in latents.split(len(latents) if encoding.at_once else 1):
                rows.append(encoding.call(combiner, features.expand(len(part), *features.shape), part).float())
        logits = torch.cat(rows).unflatten(0, z.shape[:2])
        if logits.shape[2:] != (self.num_classes, *encoding.size):
            raise ValueError(
                f"model: its combiner gives {tuple(logits.shape[1:])} for {len(z[0])} latents, expected "
                f"({len(z[0])}, {self.num_classes}, *{encoding.size})"
            )
        if not torch.isfinite(logits).all():
            raise ValueError("model: got NaN or infinity from its combiner; check the weights")
        return logits


def _combiner(model: nn.Module, parts: Parts) -> nn.Module:
    return attribute(attribute(model, parts.inner), parts.combiner)
