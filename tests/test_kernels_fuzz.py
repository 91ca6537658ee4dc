"""A hundred of the problems of `python -m tests.fuzz_decode`."""

from fuzz_decode import fuzz


def test_random_problems_are_decoded_as_in_float64() -> None:
    found: list[str] = []
    assert fuzz(100, seed=20, report=found.append) == 0, found
