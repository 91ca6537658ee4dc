# mypy: allow-untyped-defs, allow-incomplete-defs
"""Hypotheses whose logits are a low-rank normal: factors times their noise, the pixels' noise, and the output, at once.

The functions `draw_low_rank` and `draw_low_rank_sums` belong to the backend "triton".
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fastpunet_kernels.problem import empty_output
from fastpunet_kernels.triton.outputs import add_to_sums, no_sums, store_output, store_sums
from fastpunet_kernels.triton.philox import four_normals
from fastpunet_kernels.triton.sums import Outs, sum_hypotheses

# No reason to compile the kernel anew.
SIZES = ["seed", "first_hypothesis", "n", "pixels", "run", "rank", "out_image", "out_hypothesis", "out_class"]
COLUMNS = 8  # hypotheses of a binary model that are drawn together
ELEMENTS = 1024  # logits of a program at a time, if that leaves it at least one word of pixels
RUN = 32  # hypotheses of a program
WARPS = 8  # with 4, some of these kernels spill registers on sm_90 and sm_100


@triton.jit
def pixel_normals(seed, image, hypothesis, first, PIXELS: tl.constexpr):
    """Normals first .. first + PIXELS - 1, first a multiple of 4, of seed and hypothesis int64 (1, COLUMNS)."""
    block = (first // 4 + tl.arange(0, PIXELS // 4)).to(tl.int64)[:, None] + tl.zeros_like(hypothesis)
    hypothesis, seed = hypothesis + tl.zeros_like(block), seed + tl.zeros_like(block)
    n0, n1, n2, n3 = four_normals(seed, image + tl.zeros_like(block), hypothesis, block)
    pairs = tl.join(tl.join(n0, n1), tl.join(n2, n3))  # (PIXELS // 4, COLUMNS, of the pair, pair)
    return tl.reshape(tl.permute(pairs, [0, 3, 2, 1]), [PIXELS, hypothesis.shape[1]])


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=["out_ptr", "e_ptr", "ids_ptr"])
def low_rank_kernel(
    out_ptr,
    entropy_ptr,
    volume_ptr,
    mean_ptr,
    factor_ptr,
    sigma_ptr,
    e_ptr,
    ids_ptr,
    seed: tl.int64,
    first_hypothesis: tl.int64,
    n,
    pixels,
    run,
    rank,
    out_image: tl.int64,
    out_hypothesis: tl.int64,
    out_class: tl.int64,
    OUTPUT: tl.constexpr,
    CLASSES: tl.constexpr,
    COLUMNS: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """A program owns PIXELS pixels of one image and `run` hypotheses, COLUMNS of a binary model at a time, or one of
    several classes.

    mean, sigma (B, K, P), factor (B, R, K, P), e (B, n, R). OUTPUT "sums" goes to out (B, runs, K, P), entropy
    (B, runs, P) and volume (B, n, K); any other to out (B, n, ...).
    """
    GROUP: tl.constexpr = COLUMNS if CLASSES == 1 else 1
    tiles, runs = tl.cdiv(pixels, PIXELS), tl.cdiv(n, run)
    program = tl.program_id(0)
    image = (program // tiles // runs).to(tl.int64)
    start = program // tiles % runs * run
    stop = tl.minimum(start + run, n)
    first = program % tiles * PIXELS
    pixel = first + tl.arange(0, PIXELS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    label = tl.zeros_like(column) if CLASSES == 1 else column
    inside = (pixel < pixels) & (label < CLASSES)
    plane = label.to(tl.int64) * pixels + pixel
    mean = tl.load(mean_ptr + image * CLASSES * pixels + plane, mask=inside, other=0.0)
    sigma = tl.load(sigma_ptr + image * CLASSES * pixels + plane, mask=inside, other=0.0)
    factors = factor_ptr + image * rank * CLASSES * pixels + plane
    number = tl.load(ids_ptr + image)
    seeds = seed ^ (label.to(tl.int64) + 1 << 48)
    if OUTPUT == "sums":
        sums = no_sums(PIXELS, COLUMNS, CLASSES)

    for group in range(start, stop, GROUP):
        hypothesis = group + column if CLASSES == 1 else group + tl.zeros_like(column)
        logits, factor = mean, factors
        for r in range(rank):
            e = tl.load(e_ptr + (image * n + hypothesis) * rank + r, mask=hypothesis < stop, other=0.0)
            logits += tl.load(factor, mask=inside, other=0.0) * e
            factor += CLASSES * pixels
        logits += sigma * pixel_normals(seeds, number, first_hypothesis + hypothesis, first, PIXELS)
        columns = stop - group if CLASSES == 1 else CLASSES
        if OUTPUT == "sums":
            volumes = volume_ptr + (image * n + group) * CLASSES
            sums = add_to_sums(sums, volumes, columns, logits, first, pixels, CLASSES, 0)
        else:
            out = out_ptr + image * out_image + group * out_hypothesis
            stride = out_hypothesis if CLASSES == 1 else out_class
            store_output(out, stride, columns, logits, first, pixels, CLASSES, 0, OUTPUT)
    if OUTPUT == "sums":
        planes = out_ptr + image * out_image + start // run * out_hypothesis
        entropies = entropy_ptr + (image * runs + start // run) * pixels
        store_sums(planes, out_class, entropies, sums, first, pixels, CLASSES)


def constants(classes: int, output: str) -> dict[str, Any]:
    """The compile-time arguments of `low_rank_kernel`."""
    columns = COLUMNS if classes == 1 else triton.next_power_of_2(classes)
    return {"OUTPUT": output, "CLASSES": classes, "COLUMNS": columns, "PIXELS": max(32, ELEMENTS // columns)}


def draw_low_rank(
    mean: Tensor, factor: Tensor, sigma: Tensor, e: Tensor, ids: Tensor, seed: int, first: int, output: str
) -> Tensor:
    out = empty_output(mean.mT, e.shape[1], mean.shape[1], output)
    _launch(mean, factor, sigma, e, ids, seed, first, output, RUN, (out, None, None))
    return out


def draw_low_rank_sums(
    mean: Tensor, factor: Tensor, sigma: Tensor, e: Tensor, ids: Tensor, seed: int, first: int
) -> tuple[Tensor, Tensor, Tensor]:
    images, classes, pixels = mean.shape

    def launch(some: slice, run: int, outs: Outs) -> None:
        _launch(mean, factor, sigma, e[:, some], ids, seed, first + some.start, "sums", run, outs)

    return sum_hypotheses(launch, mean, (images, e.shape[1], classes, pixels), RUN)


def _launch(
    mean: Tensor,
    factor: Tensor,
    sigma: Tensor,
    e: Tensor,
    ids: Tensor,
    seed: int,
    first: int,
    output: str,
    run: int,
    outs: tuple[Tensor, Tensor | None, Tensor | None],
) -> None:
    (images, classes, pixels), n = mean.shape, e.shape[1]
    compile_time = constants(classes, output)
    out = outs[0]
    strides = out.stride(0), out.stride(1), out.stride(2) if out.dim() == 4 else 0
    parts = [part.contiguous() for part in (mean, factor, sigma, e, ids)]
    grid = (images * triton.cdiv(n, run) * triton.cdiv(pixels, compile_time["PIXELS"]),)
    with torch.cuda.device_of(mean):
        low_rank_kernel[grid](
            *outs, *parts, seed, first, n, pixels, run, factor.shape[1], *strides, **compile_time, num_warps=WARPS
        )
