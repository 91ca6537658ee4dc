"""Triton's counter-based normals against Random123's known answers, reference.py and float64."""

import pytest
import torch
from decode_problems import COMPILED, exact_box_muller, exact_normal, quick
from hypothesis import given
from hypothesis import strategies as st

from fastpunet_kernels import philox_normal, reference

triton = pytest.importorskip("triton")

import triton.language as tl  # noqa: E402

from fastpunet_kernels.triton.offsets import offsets_kernel  # noqa: E402
from fastpunet_kernels.triton.philox import philox_normal_kernel, philox_words  # noqa: E402

# Random123's known answers for Philox4x32-10: counter, key, words.
KNOWN_ANSWERS = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


@triton.jit(do_not_specialize=["seed"])
def words_kernel(out_ptr, counters_ptr, seed: tl.int64):
    """out int64 (n, 4): the words for counters int64 (n, 3) of hypothesis, block and image id, one a program."""
    place = counters_ptr + tl.program_id(0) * 3
    lane = tl.zeros([1], tl.int64)
    hypothesis, block, image = tl.load(place + lane), tl.load(place + 1 + lane), tl.load(place + 2 + lane)
    w0, w1, w2, w3 = philox_words(seed, image, hypothesis, block)
    out = out_ptr + tl.program_id(0) * 4 + lane
    tl.store(out, w0.to(tl.int64))
    tl.store(out + 1, w1.to(tl.int64))
    tl.store(out + 2, w2.to(tl.int64))
    tl.store(out + 3, w3.to(tl.int64))


def signed_64(low: int, high: int) -> int:
    value = low | high << 32
    return value - (1 << 64) if value >> 63 else value


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_philox_words_are_the_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...], device: torch.device
) -> None:
    inputs = torch.tensor([[counter[0], counter[1], signed_64(*counter[2:])]], device=device)
    out = torch.full((1, 4), -1, device=device)
    words_kernel[(1,)](out, inputs, signed_64(*key))
    assert tuple(out[0].tolist()) == words
    assert tuple(int(word) for word in reference.philox_4x32([torch.tensor(c) for c in counter], key)) == words


@pytest.mark.parametrize("backend", ["triton", "reference"])
def test_normals_of_the_zero_counter_are_those_of_the_known_answer(backend: str, device: torch.device) -> None:
    ids = torch.zeros(1, dtype=torch.int64, device=device)
    normals = philox_normal(0, ids, 0, 1, 6, backend=backend).cpu()
    expected = exact_box_muller(torch.tensor(KNOWN_ANSWERS[0][2]))
    torch.testing.assert_close(normals[0, 0, :4], expected.float())


@quick(examples=12)
@given(
    seed=st.sampled_from((0, 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1)) | st.integers(0, 2**63 - 1),
    ids=st.lists(st.sampled_from((0, 2**31, 2**32 - 1, 2**63 - 1)) | st.integers(0, 2**63 - 1), min_size=1, max_size=4),
    first=st.sampled_from((0, 2**31 - 2, 2**32 - 2, 2**40)) | st.integers(0, 2**33),
    n=st.integers(1, 40),
    dim=st.sampled_from((6, 13)) if COMPILED else st.integers(1, 13),
)
def test_noise_equals_the_reference_to_rounding(
    seed: int, ids: list[int], first: int, n: int, dim: int, device: torch.device
) -> None:
    where = torch.tensor(ids, device=device)
    ours = philox_normal(seed, where, first, n, dim, backend="triton").cpu()
    # PyTorch's error is measured on enough numbers to be typical.
    plain = philox_normal(seed, where, first, max(n, 1000), dim, backend="reference").cpu()
    exact = exact_normal(seed, where, first, max(n, 1000), dim)
    assert ours.shape == (len(ids), n, dim)
    assert (ours - exact[:, :n]).abs().max() <= 2 * (plain - exact).abs().max()


def test_noise_far_out_in_the_tail(device: torch.device) -> None:
    many = torch.arange(2**20)
    words = torch.stack(reference.philox_4x32([many, *torch.zeros(3, 1, dtype=torch.int64)], (0, 0)), -1)
    first = int(words[:, 0].argmin())  # the smaller the word, the more its half step counts
    ids = torch.zeros(1, dtype=torch.int64, device=device)
    plain = philox_normal(0, ids, first, 1000, 6, backend="reference").cpu()
    exact = exact_normal(0, ids, first, 1000, 6)
    assert exact[0, 0, :2].norm() > 5
    ours = philox_normal(0, ids, first, 1, 6, backend="triton").cpu()
    assert (ours - exact[:, :1]).abs().max() <= 2 * (plain - exact).abs().max()


def test_noise_of_a_hypothesis_does_not_depend_on_its_neighbours(device: torch.device) -> None:
    ids = torch.tensor([7, 2**63 - 1, 8], device=device)
    many = philox_normal(11, ids, 0, 70, 6, backend="triton")
    few = philox_normal(11, ids[1::2], 65, 3, 6, backend="triton")
    assert torch.equal(few[0], many[1, 65:68])
    assert torch.equal(philox_normal(11, ids, 0, 70, 13, backend="triton")[..., :6], many)


def test_a_large_seed_needs_no_other_variant() -> None:
    """Triton would compile a kernel for seeds below 2^31 and another one for those above."""
    for kernel in (philox_normal_kernel, offsets_kernel):
        types = kernel.fn.__annotations__
        assert types["seed"] == types["first"] == tl.int64
