"""Opens the port, and serves until somebody says to stop."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from fastpunet.arguments import check_count
from fastpunet.prediction.request import Request
from fastpunet.serving.app import Service, make_app
from fastpunet.serving.connections import Connection
from fastpunet.serving.guard import Rules
from fastpunet.serving.limits import Limits
from fastpunet.serving.measuring import Metrics
from fastpunet.serving.served import Served, open_served
from fastpunet.serving.uploads import private_folder
from fastpunet.serving.work import Work

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SHORTEST_TOKEN = 16
_CONNECTIONS = 256  # beyond the requests that are taken, for health checks, metrics and refusals


@dataclass(frozen=True)
class Place:
    """Where a service is to be found.

    port   0: any that is free
    token  that clients have to send; None: none
    names  by which it may be called besides those of the loopback interface, such as that of a proxy before it
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    names: Collection[str] = ()

    def __post_init__(self) -> None:
        check_count("port", self.port, least=0, limit=65535)
        if self.token is not None and (len(self.token) < _SHORTEST_TOKEN or not self.token.isascii()):
            raise ValueError(
                f"token: has {len(self.token)} characters, expected at least {_SHORTEST_TOKEN} of ASCII; make one with "
                "python -c 'import secrets; print(secrets.token_urlsafe())'"
            )
        if self.token is None and not self.local:
            raise ValueError(
                f"host: got {self.host}, which other machines can reach, without a token; give --token-file or set "
                "FASTPUNET_TOKEN, or leave out --host"
            )

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def rules(self) -> Rules:
        """Who may ask. Behind a token any name will do, because pages of other sites do not know the token."""
        given = {name.lower() for name in self.names}
        return Rules(self.token, {*_LOOPBACK, self.host.lower(), *given} if self.local or given else None)

    def listen(self) -> socket.socket:
        """A socket at this place. Raises ValueError for one that is taken or is not this machine's."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family, backlog=1024)
        except OSError as error:
            raise ValueError(
                f"port: nothing can listen at {self.host}:{self.port} ({os.strerror(error.errno or 0)}); choose "
                "another with --port, or --host"
            ) from None


@dataclass(frozen=True)
class Manner:
    """How a service runs.

    request  how models are opened: precision and windows
    workers  answers that are computed at the same time
    """

    device: str = "auto"
    request: Request = field(default_factory=Request)
    workers: int = 2
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        check_count("workers", self.workers)


def serve(
    models: Sequence[str | os.PathLike[str]], place: Place, manner: Manner, say: Callable[[str], None] = print
) -> None:
    """Serve models until SIGTERM or Ctrl-C. Then no connection is taken any more, and all requests get their answers.

    models: as `fastpunet.load` takes them. say: is called with the address once requests are taken. Raises ValueError,
    TypeError or OSError, naming the argument, before the port is open.
    """
    served = open_served(models, manner.request, manner.device)
    for one in served.values():
        one.warm_up()
    with private_folder() as folder, place.listen() as listener, suppress(KeyboardInterrupt):
        server = make_server(served, place, manner, folder)
        server.started_on = lambda: say(f"serving {', '.join(served)} on {address_of(listener)}")
        server.run([listener])


def make_server(served: Mapping[str, Served], place: Place, manner: Manner, folder: Path) -> Server:
    """A server of models that are open. folder: a private one, for the files of clients."""
    work = Work(manner.workers, manner.limits)
    service = Service(served, manner.limits, place.rules, work, Metrics(work), folder)
    return Server(
        uvicorn.Config(
            make_app(service),
            http=Connection,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=manner.workers + manner.limits.waiting + _CONNECTIONS,
            timeout_graceful_shutdown=manner.limits.seconds,
        )
    )


class Server(uvicorn.Server):
    """A server that says when it takes requests, and that SIGTERM ends without an error."""

    started_on: Callable[[], None] = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.started_on()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # uvicorn raises it again in the end
        with super().capture_signals():
            yield


def address_of(listener: socket.socket) -> str:
    """The address of a service that listens there."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
