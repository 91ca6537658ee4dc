"""The letters that say how the axes of a volume lie in the body."""

from __future__ import annotations

OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "I": "S", "S": "I"}


def check_orientation(orientation: object) -> str:
    """Return an orientation such as "RAS". Raises ValueError for anything else."""
    letters = orientation if isinstance(orientation, str) else ""
    pairs = {frozenset((letter, OPPOSITE.get(letter, ""))) for letter in letters}
    if len(letters) != 3 or len(pairs) != 3 or not set(letters) <= set(OPPOSITE):
        raise ValueError(
            f"orientation: got {orientation!r:.40}, expected where rows, columns and slices count to, one letter of "
            "each of LR, PA and IS, such as RAS"
        )
    return letters
