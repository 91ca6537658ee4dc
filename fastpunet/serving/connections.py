"""Connections on which no request comes are closed, so that idle or very slow clients do not take all of them."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

_SECONDS = 10.0  # for the first line and the headers of a request


class Connection(H11Protocol):
    """A connection that is closed if a request's head takes longer than `_SECONDS`, however it dribbles in."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    @property
    def _without_request(self) -> bool:
        # uvicorn declares the cycle as always there, and has None before the first request
        return not self.cycle or self.cycle.response_complete

    def _watch(self) -> None:
        if not self._without_request:
            self._stop()
        elif self._timer is None:
            self._timer = self.loop.call_later(_SECONDS, self._give_up)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self._without_request:
            self.transport.close()
