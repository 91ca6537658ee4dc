"""Stands before every endpoint: who may ask, from where, and what every response says to browsers."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastpunet.serving.measuring import Metrics
from fastpunet.serving.refusals import Refusal
from fastpunet.serving.responding import refused
from fastpunet.serving.work import Work

OPEN = ("/", "/health/live", "/health/ready")  # what holds no data and computes nothing
_STALLED = 30.0  # seconds without progress, after which a client that does not read is left
_PART = 1 << 16  # bytes of a response that are sent at a time
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Rules:
    """Who may ask.

    token  that a request must bear; None: none is needed
    hosts  names by which the service may be called; None: any. Pages of other sites that have their name point to this
           machine (DNS rebinding) call it by that name
    """

    token: str | None
    hosts: Collection[str] | None

    def check(self, path: str, headers: Headers) -> None:
        """Raise Refusal for a request that is not allowed."""
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            raise Refusal(
                421,
                f"host: got {host[:100]!r}, expected one of {', '.join(sorted(self.hosts))}; allow a name with "
                "--allow-host",
                "host",
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise Refusal(403, f"origin: pages of {origin[:100]!r} may not use this service", "origin")
        if self.token is None or path in OPEN:
            return
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
            raise Refusal(
                401,
                "token: missing or wrong, expected the header Authorization: Bearer TOKEN",
                "token",
                {"WWW-Authenticate": "Bearer"},
            )


class Guard:
    """An ASGI application around another one, which refuses, counts and times requests."""

    def __init__(self, app: ASGIApp, rules: Rules, work: Work, metrics: Metrics) -> None:
        self._app, self._rules, self._work, self._metrics = app, rules, work, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            for part in _parts(message):
                await asyncio.wait_for(send(part), _STALLED)

        try:
            self._rules.check(scope["path"], Headers(scope=scope))
            with self._work.admitted() if scope["method"] == "POST" else nullcontext():
                await self._app(scope, receive, answering)
        except Refusal as refusal:
            self._metrics.refusals.labels(refusal.reason).inc()
            await refused(refusal)(scope, receive, answering)
        except (asyncio.TimeoutError, ClientDisconnect):  # nobody reads the answer any more
            self._metrics.refusals.labels("client left").inc()
        finally:
            endpoint = _endpoint(scope)
            self._metrics.requests.labels(endpoint, status).inc()
            self._metrics.seconds.labels(endpoint).observe(time.monotonic() - began)


def _parts(message: Message) -> Iterator[Message]:
    """A message in parts that are small enough for the server to wait until the client has read most of them."""
    body = message.get("body", b"")
    for start in range(0, len(body) - _PART, _PART):
        yield {**message, "body": body[start : start + _PART], "more_body": True}
    yield {**message, "body": body[max(0, -(-len(body) // _PART) - 1) * _PART :]} if body else message


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _endpoint(scope: Scope) -> str:
    """The path as it was declared, of which there are few."""
    route: Any = scope.get("route")
    return getattr(route, "path", "other")
