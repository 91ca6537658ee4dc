"""The names of priors in configs and checkpoints, such as "mixture:4"."""

from __future__ import annotations

from typing import NamedTuple

DIAGONAL, FULL, LOW_RANK, MIXTURE, FLOW, RATERS = "diagonal", "full", "low-rank", "mixture", "flow", "raters"
_LIMITS = {LOW_RANK: (1, 64), MIXTURE: (2, 64), FLOW: (1, 32), RATERS: (2, 64)}
_EXPECTED = (
    "expected diagonal, full, low-rank:RANK, mixture:COMPONENTS, flow:COUPLINGS or raters:NAME,NAME,..., for example "
    "mixture:4"
)


class PriorName(NamedTuple):
    """A kind of prior, and its number: the rank, the components, the couplings or the raters; 0 where it has none."""

    kind: str
    number: int = 0
    raters: tuple[str, ...] = ()

    @property
    def extra_normals(self) -> int:
        """Standard normals that a latent takes besides one for each of its dimensions."""
        return {LOW_RANK: self.number, MIXTURE: 1, RATERS: 1}.get(self.kind, 0)

    def check_dimensions(self, latent_dim: int) -> None:
        """Raise ValueError if a latent of so many dimensions cannot have such a prior."""
        if self.kind == LOW_RANK and self.number >= latent_dim:
            raise ValueError(
                f"prior: got rank {self.number} with latent_dim {latent_dim}, expected a smaller rank; use full for "
                "any covariance"
            )
        if self.kind == FLOW and latent_dim < 2:
            raise ValueError(
                "prior: got a flow with latent_dim 1, expected at least 2, because a flow transforms one half of the "
                "latent by the other"
            )


def read_prior(text: object) -> PriorName:
    """Read a prior's name. Raises ValueError for an unknown one, and for a number out of all bounds.

    >>> read_prior("low-rank:2")
    PriorName(kind='low-rank', number=2, raters=())
    >>> read_prior("raters:ann,bob").raters
    ('ann', 'bob')
    """
    kind, colon, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
    if kind in (DIAGONAL, FULL) and not colon:
        return PriorName(kind)
    if kind not in _LIMITS or not rest:
        raise ValueError(f"prior: got {text!r:.80}, {_EXPECTED}")
    least, most = _LIMITS[kind]
    if kind == RATERS:
        names = tuple(rest.split(","))
        if not all(names) or len(set(names)) < len(names) or not least <= len(names) <= most:
            raise ValueError(f"prior: got {text!r:.80}, expected the names of {least} to {most} different raters")
        return PriorName(RATERS, len(names), names)
    if not (rest.isascii() and rest.isdigit() and len(rest) < 9 and least <= int(rest) <= most):
        raise ValueError(f"prior: got {text!r:.80}, expected {kind}:{least} to {kind}:{most}")
    return PriorName(kind, int(rest))
