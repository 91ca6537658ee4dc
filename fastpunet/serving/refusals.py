"""A request that gets no answer, and why."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class Refusal(Exception):
    """What a client is told instead of an answer.

    status   of HTTP
    reason   a few words, by which /metrics counts refusals
    headers  of the response
    """

    def __init__(
        self, status: int, message: str, reason: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(message)
        self.status, self.reason, self.headers = status, reason, dict(headers)
