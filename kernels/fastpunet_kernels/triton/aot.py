"""Every Triton kernel, compiled without a GPU: its registers, spills, shared memory, matrix instruction and slots.

`python -m fastpunet_kernels.triton.aot` prints them for sm_80, sm_90, sm_100 and gfx942.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, NamedTuple

import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from fastpunet_kernels.triton import decode, gradients, low_rank, offsets, philox, slots
from fastpunet_kernels.triton import maps as latent_maps
from fastpunet_kernels.triton.overlap_variants import overlap_variants
from fastpunet_kernels.triton.pruning_variants import pruning_variants
from fastpunet_kernels.triton.tiling import by_rule

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}

OUT_TYPES = {"labels": "*u8", "logits": "*fp32", "probs": "*fp32", "bits": "*i32", "sums": "*fp32"}

# (output, precision, units of each layer, the classes last)
DECODERS = (
    ("labels", "bf16", (32, 32, 32, 1)),
    ("bits", "bf16", (32, 32, 32, 1)),
    ("probs", "bf16", (32, 32, 32, 1)),
    ("bits", "tf32", (32, 32, 32, 1)),
    ("bits", "ieee", (32, 32, 32, 1)),
    ("labels", "bf16", (32, 1)),
    ("labels", "bf16", (32, 32, 32, 24)),
    ("probs", "tf32", (32, 32, 32, 24)),
    ("bits", "ieee", (32, 32, 32, 24)),
    ("bits", "tf32", (64, 64, 64, 1)),
    ("labels", "bf16", (128, 128, 128, 1)),
    ("logits", "ieee", (128, 128, 128, 1)),
    ("sums", "bf16", (32, 32, 32, 1)),
    ("sums", "tf32", (32, 32, 32, 24)),
    ("sums", "ieee", (32, 32, 32, 1)),
)


class Variant(NamedTuple):
    """A kernel with its compile-time configuration."""

    name: str
    kernel: Any
    types: dict[str, Any]  # run-time arguments: Triton's names of their types, tuples for tuples
    constants: dict[str, Any]  # compile-time arguments
    options: dict[str, int]  # of the compiler


def variants(target: GPUTarget) -> list[Variant]:
    """All kernels, in the configurations that are worth watching."""
    philox_types = {"out_ptr": "*fp32", "ids_ptr": "*i64", "seed": "i64", "first": "i64", "n": "i32", "count": "i64"}
    return [
        *(_decoder(target, *each) for each in DECODERS),
        *(_decoder(target, "bits", precision, (32, 32, 32, 1), maps=1) for precision in ("bf16", "ieee")),
        *(Variant(*variant) for variant in pruning_variants(_capability(target), amd=target.backend == "hip")),
        *(_gradients(widths) for widths in ((32, 32, 32, 1), (32, 32, 32, 24), (64, 64, 64, 1))),
        _offsets("drawn", ("z_ptr",)),
        _offsets("given", ("mu_ptr", "sigma_ptr", "ids_ptr")),
        Variant("philox_normal", philox.philox_normal_kernel, philox_types, {"DIM": 6, "BLOCK": philox.BLOCK}, {}),
        *(_low_rank(output, classes) for output in ("bits", "sums") for classes in (1, 24)),
        *(Variant(*variant) for variant in overlap_variants()),
    ]


def _low_rank(output: str, classes: int) -> Variant:
    types: dict[str, Any] = dict.fromkeys(("mean_ptr", "factor_ptr", "sigma_ptr", "e_ptr", "entropy_ptr"), "*fp32")
    types |= {"out_ptr": OUT_TYPES[output], "volume_ptr": "*i64", "ids_ptr": "*i64"}
    types |= dict.fromkeys(("n", "pixels", "run", "rank"), "i32")
    types |= dict.fromkeys(("seed", "first_hypothesis", "out_image", "out_hypothesis", "out_class"), "i64")
    absent = () if output == "sums" else ("entropy_ptr", "volume_ptr")
    constants = low_rank.constants(classes, output) | dict.fromkeys(absent)
    return Variant(
        f"low_rank {classes} {output}", low_rank.low_rank_kernel, types, constants, {"num_warps": low_rank.WARPS}
    )


def _offsets(name: str, absent: tuple[str, ...]) -> Variant:
    types: dict[str, Any] = dict.fromkeys(("out_ptr", "z_weight_ptr", "z_ptr", "mu_ptr", "sigma_ptr"), "*fp32")
    types |= {
        "ids_ptr": "*i64",
        "seed": "i64",
        "first": "i64",
        "n": "i32",
        "z_weight_unit": "i64",
        "z_weight_dim": "i64",
        "latent": "i32",
        "width": "i32",
    }
    constants = offsets.constants(32, 6) | dict.fromkeys(absent)
    return Variant(f"offsets {name}", offsets.offsets_kernel, types, constants, {})


def _decoder(target: GPUTarget, output: str, precision: str, widths: tuple[int, ...], maps: int = 0) -> Variant:
    layers = len(widths) - 1
    types: dict[str, Any] = {"out_ptr": OUT_TYPES[output], "entropy_ptr": "*fp32", "volume_ptr": "*i64"}
    types |= {"base_ptr": "*fp32", "offsets_ptr": "*fp32"}
    types |= {"weight_ptrs": ("*fp32",) * layers, "bias_ptrs": ("*fp32",) * layers}
    types |= {"map_ptrs": ("*fp32", "*fp32", "*i32", "*fp32") if maps else ()}
    types |= dict.fromkeys(decode.SIZES, "i64") | dict.fromkeys(("n", "pixels", "run", "cells"), "i32")
    capability = _capability(target)
    rounding = decode.products(precision, widths, capability)
    tiling = by_rule(widths, rounding, capability)
    tiling = latent_maps.tiling(tiling) if maps else tiling
    constants = decode.constants(widths, output, rounding, capability, tiling)
    absent = () if output == "sums" else ("entropy_ptr", "volume_ptr")
    name = f"{'mapped' if maps else 'decode'} {'-'.join(map(str, widths))} {precision} {output}"
    return Variant(
        name,
        decode.decode_kernel,
        types,
        constants | {"MAPS": maps, "CORNERS": 4 if maps else 0} | dict.fromkeys(absent),
        decode.options(tiling, amd=target.backend == "hip"),
    )


def _capability(target: GPUTarget) -> int:
    return int(target.arch) // 10 if target.backend == "cuda" else 0


def _gradients(widths: tuple[int, ...]) -> Variant:
    layers = len(widths) - 1
    names = ("of_base_ptr", "of_offset_ptr", "of_layers_ptr", "gradient_ptr", "base_ptr", "offsets_ptr")
    types: dict[str, Any] = dict.fromkeys(names, "*fp32") | dict.fromkeys(("n", "pixels", "span"), "i32")
    types |= {"weight_ptrs": ("*fp32",) * layers, "bias_ptrs": ("*fp32",) * layers}
    constants, options = gradients.constants(widths), gradients.options(widths)
    return Variant(f"gradients {'-'.join(map(str, widths))}", gradients.gradients_kernel, types, constants, options)


def compile_ahead(target: str) -> list[dict[str, Any]]:
    """Compile every variant for one of TARGETS.

    One dictionary each: name, precision of the products and pixels per program (None but for decoders), threads,
    registers per thread, spills and shared in bytes, the instruction that multiplies matrices, "wgmma", "tcgen05",
    "mma", "mfma" or "none", and of decoders that keep their weights `cost`, see `slots.Cost`, or None.
    """
    if not isinstance(decode.decode_kernel, triton.JITFunction):
        raise RuntimeError("TRITON_INTERPRET is set, so there is nothing to compile; unset it before starting Python")
    return [_compile(variant, TARGETS[target]) for variant in variants(TARGETS[target])]


def _compile(variant: Variant, target: GPUTarget) -> dict[str, Any]:
    names = variant.kernel.arg_names
    signature = {name: "constexpr" if name in variant.constants else variant.types[name] for name in names}
    unaligned = variant.kernel.do_not_specialize_on_alignment
    source = ASTSource(variant.kernel, signature, variant.constants, _aligned_pointers(signature, unaligned))
    with knobs.nvidia.scope(), knobs.compilation.scope(), redirect_stdout(StringIO()) as output:
        knobs.nvidia.dump_ptxas_log = True  # the only place that tells spills without a GPU
        knobs.compilation.always_compile = True  # a kernel from the cache has no log
        compiled = triton.compile(source, target=target, options=variant.options)
    used = _nvidia_use(compiled.asm["ptx"], output.getvalue()) if target.backend == "cuda" else _amd_use(compiled.asm)
    return {
        "name": variant.name,
        "precision": variant.constants.get("PRECISION"),
        "pixels": variant.constants.get("PIXELS"),
        "threads": compiled.metadata.num_warps * target.warp_size,
        "shared": compiled.metadata.shared,
        **used,
        "cost": _cost(variant.constants, compiled, used["instruction"]),
    }


def _cost(constants: dict[str, Any], compiled: Any, instruction: str) -> dict[str, Any] | None:
    """None where loops are nested otherwise: weights are read again, tcgen05's products are waited for, or AMD's
    compiler has made several loops of the one from pixels to pixels.
    """
    around = int("TAKERS" in constants)  # that loop, in which all hypotheses are decoded
    amd = "amdgcn" in compiled.asm
    if not constants.get("KEEP") or instruction == "tcgen05" or (amd and around):
        return None
    code = compiled.asm["amdgcn"] if amd else slots.sass(compiled.asm["cubin"])
    pixels, unroll = constants["PIXELS"], constants.get("UNROLL", 1)
    group = constants["COLUMNS"] if constants["WIDTHS"][-1] == 1 and "UNROLL" in constants else 1
    return slots.cost(code, pixels, compiled.metadata.num_warps, unroll, group, around)._asdict()


def _nvidia_use(ptx: str, log: str) -> dict[str, Any]:
    found = (name for name in ("wgmma", "tcgen05", "mma") if re.search(rf"\b{name}\.(mma|sync)", ptx))
    return {
        "registers": max(map(int, re.findall(r"Used (\d+) registers", log))),
        "spills": sum(map(int, re.findall(r"(\d+) bytes spill", log))),
        "instruction": next(found, "none"),
    }


def _amd_use(asm: dict[str, Any]) -> dict[str, Any]:
    code = asm["amdgcn"]
    return {
        "registers": int(re.findall(r"\.vgpr_count:\s+(\d+)", code)[0]),
        "spills": int(re.findall(r"\.private_segment_fixed_size:\s+(\d+)", code)[0]),
        "instruction": "mfma" if "v_mfma_" in code else "none",
    }


def _aligned_pointers(signature: dict[str, Any], unaligned: Sequence[str]) -> dict[tuple[int, ...], Any]:
    """What a launch tells the compiler of PyTorch's tensors: that they start at multiples of 16 bytes, but for some."""
    places: list[tuple[int, ...]] = []
    for index, (name, kind) in enumerate(signature.items()):
        if isinstance(kind, tuple):
            places += [(index, member) for member, part in enumerate(kind) if part.startswith("*")]
        elif kind.startswith("*") and name not in unaligned:
            places.append((index,))
    return {place: [["tt.divisibility", 16]] for place in places}


def main() -> None:
    for target in TARGETS:
        print(f"{target:<32} {'threads':>8} {'registers':>10} {'spills':>7} {'shared':>7} {'slots':>7}  instruction")
        for row in compile_ahead(target):
            row["slots"] = round(row["cost"]["slots"]) if row["cost"] else ""
            print(
                "{name:<32} {threads:>8} {registers:>10} {spills:>7} {shared:>7} {slots:>7}  {instruction}".format(
                    **row
                )
            )
        print()


if __name__ == "__main__":
    main()
