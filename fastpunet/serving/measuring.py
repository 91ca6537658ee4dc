"""What /metrics says, in the text format of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fastpunet.serving.work import Work

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The counters of one service."""

    def __init__(self, work: Work) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "fastpunet_requests", "Requests that got a response", ["endpoint", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "fastpunet_request_seconds",
            "Seconds from the arrival of a request to the end of its response",
            ["endpoint"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.hypotheses = Counter("fastpunet_hypotheses", "Hypotheses drawn", ["model"], registry=self._registry)
        self.refusals = Counter("fastpunet_refusals", "Requests refused", ["reason"], registry=self._registry)
        waiting = Gauge("fastpunet_waiting", "Requests that wait for a worker", registry=self._registry)
        waiting.set_function(lambda: work.waiting)
        running = Gauge("fastpunet_running", "Requests that are computed", registry=self._registry)
        running.set_function(lambda: work.running)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self._registry)
