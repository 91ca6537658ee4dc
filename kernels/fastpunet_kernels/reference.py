"""Defines every op in plain PyTorch. The fast kernels are compared with this file.

The functions `philox_normal` to `distance_sums` that dispatch.py names are the backend "reference".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from fastpunet_kernels.limits import check_limits
from fastpunet_kernels.precision import fixed_precision
from fastpunet_kernels.problem import WORD_BITS, Sums, empty_output, reparameterised

_PHILOX_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_PHILOX_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_UINT32 = 0xFFFFFFFF
_GATHER_BITS = sum(1 << (56 - 7 * pixel) for pixel in range(8))

# The number of pixels decoded together is small enough that their activations stay in a CPU's caches.
_CPU_TILE = 24576
_GPU_TILE = 1 << 20
_UNPACKED_FLOATS = 1 << 25  # 128 MiB of unpacked masks at a time
_COMPARED = 1 << 22  # pixels x classes, or pairs x classes, compared at a time
_LOGITS = 1 << 23  # 32 MiB of logits at a time
_OWN_BASES, _OWN_BASES_GPU = 1 << 21, 1 << 26  # 8 and 256 MiB of bases of single hypotheses at a time
_INTERPOLATION = {1: "linear", 2: "bilinear", 3: "trilinear"}  # by the number of axes


def philox_4x32(counter: Sequence[Tensor], key: tuple[int, int], rounds: int = 10) -> tuple[Tensor, ...]:
    """Philox4x32 (Salmon et al., SC 2011): maps four uint32 counters, held in int64 tensors, to four random uint32."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        product0 = c0 * _PHILOX_MULTIPLIERS[0]
        product1 = c2 * _PHILOX_MULTIPLIERS[1]
        high0, low0 = (product0 >> 32) & _UINT32, product0 & _UINT32
        high1, low1 = (product1 >> 32) & _UINT32, product1 & _UINT32
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 = (k0 + _PHILOX_KEY_STEPS[0]) & _UINT32
        k1 = (k1 + _PHILOX_KEY_STEPS[1]) & _UINT32
    return c0, c1, c2, c3


def philox_normal(seed: int, ids: Tensor, first: int, n: int, dim: int) -> Tensor:
    """Standard normals (B, n, dim): entry (b, k, d) depends on (seed, ids[b], first + k, d) alone.

    Counter words: hypothesis, d // 4, low and high half of the image id. Key: the two halves of the seed.
    Each call yields four uniforms, which Box-Muller converts to the normals d = 4j .. 4j + 3.
    """
    blocks = -(-dim // 4)
    shape = (ids.numel(), n, blocks)
    hypothesis = torch.arange(first, first + n, device=ids.device).view(1, n, 1).expand(shape)
    block = torch.arange(blocks, device=ids.device).expand(shape)
    image = ids.view(-1, 1, 1).expand(shape)
    counter = (hypothesis & _UINT32, block, image & _UINT32, (image >> 32) & _UINT32)
    words = philox_4x32(counter, (seed & _UINT32, (seed >> 32) & _UINT32))
    u0, u1, u2, u3 = (word.float() * 2.0**-32 + 2.0**-33 for word in words)
    radius0, radius1 = (-2 * u0.log()).sqrt(), (-2 * u2.log()).sqrt()
    angle0, angle1 = (2 * math.pi) * u1, (2 * math.pi) * u3
    normals = (radius0 * angle0.cos(), radius0 * angle0.sin(), radius1 * angle1.cos(), radius1 * angle1.sin())
    return torch.stack(normals, dim=-1).flatten(-2)[..., :dim].contiguous()


def pack_bits(mask: Tensor) -> Tensor:
    """Pack bool (..., P) to int32 (..., ceil(P / 32)): pixel p is bit p % 32 of word p // 32, and spare bits are 0."""
    padded = F.pad(mask, (0, -mask.shape[-1] % WORD_BITS)).contiguous()
    eights = padded.view(torch.uint8).view(torch.int64)  # eight pixels, each 0 or 1 in a byte of its own
    packed = (eights * _GATHER_BITS) >> 56  # the top byte has them side by side
    return packed.to(torch.uint8).view(torch.int32)


def unpack_bits(words: Tensor, pixels: int) -> Tensor:
    """The inverse of `pack_bits`: int32 (..., words) to bool (..., pixels)."""
    shifts = torch.arange(WORD_BITS, device=words.device, dtype=torch.int32)
    return ((words.unsqueeze(-1) >> shifts) & 1).bool().flatten(-2)[..., :pixels]


def pack_labels(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """Pack labels (..., P) to int32 (..., K, words): plane k has a bit wherever the label is classes[k]."""
    wanted = torch.tensor(classes).to(labels.device, non_blocking=True)[:, None]
    flat = labels.reshape(-1, 1, labels.shape[-1])
    at_once = max(1, _COMPARED // (len(classes) * flat.shape[-1]))
    words = torch.cat([pack_bits(some == wanted) for some in flat.split(at_once)])
    return words.view(*labels.shape[:-1], *words.shape[1:])


def unpack_labels(words: Tensor, pixels: int) -> Tensor:
    """Unpack int32 (..., K, words) to labels uint8 (..., pixels): the first class set, or 255; for K = 1 the bit."""
    planes = unpack_bits(words, pixels)
    if words.shape[-2] == 1:
        return planes.squeeze(-2).to(torch.uint8)
    labels = planes.to(torch.uint8).argmax(-2).to(torch.uint8)
    return labels.masked_fill_(~planes.any(-2), 255)


def first_layer_offsets(z: Tensor, z_weight: Tensor) -> Tensor:
    """Wz z, float32 (..., h), for z (..., latent_dim) and z_weight (h, latent_dim).

    It is summed in order and rounded after each operation. A matrix product would sum in an order that depends on the
    sizes of the matrices, and a hypothesis would have other bits alone than among others.
    """
    offset = z[..., :1] * z_weight[:, 0]
    for d in range(1, z.shape[-1]):
        offset = offset + z[..., d : d + 1] * z_weight[:, d]
    return offset


def fcomb_logits(
    base: Tensor, offset: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], scratch: Sequence[Tensor]
) -> Tensor:
    """f_comb after its split first layer, W1 [f; z] + b1 = (Wf f + b1) + Wz z, for one hypothesis.

    base (P, h) is Wf f + b1 per pixel, offset (h,) is Wz z; weights are (out, in). Returns logits float32 (P, K).
    scratch holds a buffer for the input of each layer, (at least P, in), so that memory is allocated only once.
    """
    pixels = base.shape[0]
    hidden = torch.add(base, offset, out=scratch[0][:pixels]).relu_()
    for weight, bias, following in zip(weights[:-1], biases[:-1], scratch[1:], strict=True):
        hidden = torch.mm(hidden, weight.T, out=following[:pixels])
        hidden.add_(bias).relu_()
    return torch.addmm(biases[-1], hidden, weights[-1].T).float()


def finish(logits: Tensor, output: str) -> Tensor:
    """Convert logits (n, P, K) to the named output. The decision rule is logit > 0 for K = 1 and argmax otherwise.

    labels uint8 (n, P); logits and probs float32 (n, K, P); bits int32 (n, K, ceil(P / 32)).
    """
    binary = logits.shape[-1] == 1
    if output == "logits":
        return logits.movedim(-1, -2)
    if output == "probs":
        return (logits.sigmoid() if binary else logits.softmax(-1)).movedim(-1, -2)
    labels = (logits[..., 0] > 0).to(torch.uint8) if binary else logits.argmax(-1).to(torch.uint8)
    if output == "labels":
        return labels
    classes = torch.arange(logits.shape[-1], device=logits.device, dtype=torch.uint8)
    return pack_bits(labels.bool()[:, None] if binary else labels[:, None] == classes[:, None])


def decode_latents(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    output: str,
    precision: str,
) -> Tensor:
    """`finish(fcomb_logits(...))` of every latent: base (B, P, h) and z (B, n, latent_dim) to the output (B, n, ...).

    Hypotheses are decoded one at a time. The rounding of a matrix product depends on its sizes, which then are those of
    the image alone.
    """
    images, pixels, _ = base.shape
    out = empty_output(base, z.shape[1], weights[-1].shape[0], output)
    offset = first_layer_offsets(z, z_weight)
    if base.device.type == "cpu":  # on a GPU the host would have to wait for the result
        check_limits(base, z_weight, weights, biases, offset)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    weights, biases = [w.to(dtype) for w in weights], [b.to(dtype) for b in biases]
    tile = _CPU_TILE if base.device.type == "cpu" else _GPU_TILE
    scratch = [weight.new_empty((min(tile, pixels), weight.shape[1])) for weight in weights]
    per_entry = WORD_BITS if output == "bits" else 1
    with fixed_precision(precision, base.device):
        for image, first, k in product(range(images), range(0, pixels, tile), range(z.shape[1])):
            logits = fcomb_logits(base[image, first : first + tile], offset[image, k], weights, biases, scratch)
            result = finish(logits[None], output)[0]
            column = first // per_entry
            out[image, k, ..., column : column + result.shape[-1]] = result
    return out


def maps_in_first_layer(values: Tensor, weight: Tensor, size: Sequence[int]) -> Tensor:
    """The share of latent maps in the first layer at every pixel, (B, n, P, h), with gradients.

    values (B, n, maps, *grid), weight (h, maps). The layer is linear, so that its share of the cells is interpolated
    instead of the maps. Products are summed in a fixed order, so that a hypothesis has the same bits in any company.
    """
    cells = values.flatten(3)
    coarse = sum(cells[:, :, channel, :, None] * weight[:, channel] for channel in range(weight.shape[1]))
    flat = coarse.flatten(0, 1).unflatten(1, values.shape[3:]).movedim(-1, 1)  # type: ignore[union-attr]
    fine = F.interpolate(flat, size=tuple(size), mode=_INTERPOLATION[len(size)], align_corners=True)
    return fine.movedim(1, -1).flatten(1, -2).unflatten(0, values.shape[:2])


def with_own_bases(
    base: Tensor, z: Tensor, values: Tensor, weight: Tensor, size: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """A problem with maps as one without: base (B n, P, h) and z (B n, 1, latent_dim) of images with one hypothesis."""
    own = base[:, None] + maps_in_first_layer(values, weight, size)
    return own.flatten(0, 1), z.flatten(0, 1)[:, None]


def decode_maps(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    values: Tensor,
    map_weight: Tensor,
    size: Sequence[int],
    output: str,
    precision: str,
) -> Tensor:
    """`decode_latents` of hypotheses with latent maps (see `Maps`), a few at a time."""
    out = empty_output(base, z.shape[1], weights[-1].shape[0], output)
    for some in range(0, z.shape[1], _hypotheses_at_once(base)):
        part = slice(some, some + _hypotheses_at_once(base))
        own, alone = with_own_bases(base, z[:, part], values[:, part], map_weight, size)
        decoded = decode_latents(own, z_weight, weights, biases, alone, output, precision)
        out[:, part] = decoded.view(base.shape[0], -1, *decoded.shape[2:])
    return out


def decode_map_sums(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    values: Tensor,
    map_weight: Tensor,
    size: Sequence[int],
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """`decode_sums` of hypotheses with latent maps, a few at a time."""
    parts = []
    for some in range(0, z.shape[1], _hypotheses_at_once(base)):
        part = slice(some, some + _hypotheses_at_once(base))
        own, alone = with_own_bases(base, z[:, part], values[:, part], map_weight, size)
        sums = decode_sums(own, z_weight, weights, biases, alone, precision)
        probability, entropy, volume = (one.unflatten(0, (base.shape[0], -1)) for one in sums)
        parts.append((probability.sum(1), entropy.sum(1), volume.flatten(1, 2)))
    probabilities, entropies, volumes = zip(*parts, strict=True)
    return sum(probabilities), sum(entropies), torch.cat(volumes, dim=1)  # type: ignore[return-value]


def _hypotheses_at_once(base: Tensor) -> int:
    """So many have bases of their own that stay in the caches of a CPU, or fill a GPU."""
    return max(1, (_OWN_BASES_GPU if base.is_cuda else _OWN_BASES) // max(1, base.numel()))


def decode_logits(
    base: Tensor, z_weight: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], z: Tensor
) -> Tensor:
    """Logits (B, n, K, P) of base (B, P, h) and z (B, n, latent_dim), all float32 or all float64.

    PyTorch's autograd gives the gradients with respect to all arguments, and keeps the activations of every layer.
    """
    with fixed_precision("ieee", base.device):
        hidden = base[:, None] + F.linear(z, z_weight)[:, :, None]
        for weight, bias in zip(weights, biases, strict=True):
            hidden = F.linear(hidden.relu(), weight, bias)
    return hidden.movedim(3, 2)


def decode_gaussian(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    mu: Tensor,
    sigma: Tensor,
    ids: Tensor,
    seed: int,
    first: int,
    n: int,
    output: str,
    precision: str,
) -> Tensor:
    """`decode_latents` of latents that are drawn here."""
    z = reparameterised(mu, sigma, philox_normal(seed, ids, first, n, mu.shape[1]))
    return decode_latents(base, z_weight, weights, biases, z, output, precision)


def decode_sums(
    base: Tensor, z_weight: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], z: Tensor, precision: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over the hypotheses of z (B, n, latent_dim), which are decoded a few at a time.

    Probability float64 (B, K, P), entropy float64 (B, P) in nats, and the volumes int64 (B, n, K).
    """
    images, pixels, classes = base.shape[0], base.shape[1], weights[-1].shape[0]
    probability = base.new_zeros((images, classes, pixels), dtype=torch.float64)
    entropy = base.new_zeros((images, pixels), dtype=torch.float64)
    volumes = []
    for some in z.split(max(1, _LOGITS // (images * classes * pixels)), dim=1):
        more = sums_of_logits(decode_latents(base, z_weight, weights, biases, some, "logits", precision))
        probability += more.probability
        entropy += more.entropy
        volumes.append(more.volume)
    return probability, entropy, torch.cat(volumes, dim=1)


def sums_of_logits(logits: Tensor) -> Sums:
    """The `Sums` of hypotheses that are given by their logits (B, n, K, P)."""
    binary = logits.shape[2] == 1
    probs = logits.sigmoid() if binary else logits.softmax(2)
    entropies = torch.special.entr(probs).sum(2)
    if binary:
        entropies += torch.special.entr((-logits).sigmoid())[:, :, 0]  # 1 - probs would round small values to 0
    return Sums(probs.sum(1, dtype=torch.float64), entropies.sum(1, dtype=torch.float64), _volumes(logits))


def _volumes(logits: Tensor) -> Tensor:
    """The number of pixels labelled with each class: logits (B, n, K, P) to int64 (B, n, K)."""
    if logits.shape[2] == 1:
        return (logits > 0).sum(3)
    labels = logits.argmax(2)
    counts = labels.new_zeros((*labels.shape[:2], logits.shape[2]))
    return counts.scatter_add_(2, labels, torch.ones_like(labels))


def pairwise_intersection(a: Tensor, b: Tensor) -> Tensor:
    """Shared pixels |a_i and b_j| of packed a (B, Na, K, words) and b (B, Nb, K, words): int32 (B, Na, Nb, K), exact.

    It is a float32 product of 0/1 matrices, over runs of pixels that are short enough for exact counts and for memory.
    """
    images, classes, masks = a.shape[0], a.shape[2], a.shape[1] + b.shape[1]
    run = max(1, min(_UNPACKED_FLOATS // (images * classes * masks * WORD_BITS + 1), (1 << 23) // WORD_BITS))
    counts = a.new_zeros((images, classes, a.shape[1], b.shape[1]))
    with fixed_precision("ieee", a.device):
        for first in range(0, a.shape[-1], run):
            left = _planes(a[..., first : first + run])
            right = left if a is b else _planes(b[..., first : first + run])
            counts += (left @ right.transpose(-1, -2)).to(torch.int32)
    return counts.permute(0, 2, 3, 1).contiguous()


def _planes(words: Tensor) -> Tensor:
    """Unpack (B, N, K, words) to float32 0/1 (B, K, N, pixels)."""
    return unpack_bits(words, words.shape[-1] * WORD_BITS).float().transpose(1, 2)


def area(words: Tensor, intersection: Callable[[Tensor, Tensor], Tensor] = pairwise_intersection) -> Tensor:
    """Pixels per mask and class, int32 (B, N, K): the pixels that each mask shares with a mask of all pixels.

    `intersection` counts them.
    """
    every_pixel = words.new_full((words.shape[0], 1, *words.shape[2:]), -1)
    return intersection(words.contiguous(), every_pixel)[:, :, 0]


def mask_iou(a: Tensor, b: Tensor, empty: float) -> Tensor:
    """IoU of packed a (B, Na, K, words) with b (B, Nb, K, words): float32 (B, Na, Nb, K).

    `empty` is the IoU of two empty masks.
    """
    shared = pairwise_intersection(a, b)
    area_a = area(a)
    union = area_a[:, :, None] + (area_a if b is a else area(b))[:, None] - shared
    return (shared.float() / union.float()).masked_fill_(union == 0, empty)


def iou_of_pairs(masks: Tensor, first: Tensor, second: Tensor, empty: float) -> Tensor:
    """IoU of mask first[p] with mask second[p] of packed masks (B, N, K, words): float64 (B, pairs, K).

    `empty` is the IoU of two empty masks.
    """
    together = max(1, _UNPACKED_FLOATS // (masks[:, 0].numel() * WORD_BITS + 1))
    found = []
    for i, j in zip(first.split(together), second.split(together), strict=True):
        x, y = (unpack_bits(masks[:, chosen], masks.shape[-1] * WORD_BITS) for chosen in (i, j))
        both, either = (x & y).sum(-1), (x | y).sum(-1)
        found.append((both.double() / either).masked_fill(either == 0, empty))
    return torch.cat(found, dim=1)


def distance_sums(a: Tensor, b: Tensor, weights_a: Tensor, weights_b: Tensor, empty: float) -> Tensor:
    """Weighted sums of d = 1 - (mean IoU over classes) for packed a (B, Na, K, words) and b (B, Nb, K, words).

    float64 (B, 2): sum of w d, and sum of w, over the pairs whose d is a number; w = weights_a (B, Na) x weights_b
    (B, Nb). `empty` is the IoU of two empty masks, NaN leaves the class out.
    """
    sums = weights_a.new_zeros((a.shape[0], 2))
    area_b = area(b)[:, None]
    rows = max(1, _COMPARED // (a.shape[0] * b.shape[1] * b.shape[2]))
    for some, weights in zip(a.split(rows, dim=1), weights_a.split(rows, dim=1), strict=True):
        shared = pairwise_intersection(some.contiguous(), b)
        union = area(some)[:, :, None] + area_b - shared
        d = 1 - (shared.double() / union).masked_fill_(union == 0, empty).nanmean(-1)
        pairs = weights[:, :, None] * weights_b[:, None, :] * ~d.isnan()
        sums += torch.stack([(pairs * d.nan_to_num()).sum((1, 2)), pairs.sum((1, 2))], dim=1)
    return sums
