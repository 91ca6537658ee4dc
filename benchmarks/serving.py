"""A service under load, and killed in the middle of it: latency, throughput beside the sampler alone, and errors.

python -m benchmarks.serving lidc-tiny [--clients 32] [--seconds 300] [-n 1000] [--size 64] [--kills 2]

starts `fastpunet serve` on this machine. It draws with the sampler alone first and last, in a process of its own, as
fast as that goes: the same images, one at a time and in batches, and the faster of the two counts. In between, clients
send images and read the bits of their hypotheses, each as soon as it has its last answer. A refusal (503) is counted,
and the client comes back when `Retry-After` says. Then the service is killed with SIGKILL under the same load and
started again, so many times. Every answer is compared with that of an undisturbed service, byte by byte. Clients,
service and sampler share the processor, as they would on one machine. Exit status 1: an answer was wrong or missing.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import multiprocessing as mp
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np

from benchmarks.machine import machine

IMAGES = 8  # different ones
BATCH = 8


def bodies(size: int) -> list[bytes]:
    """Images as npy files: a smooth random field each."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(IMAGES):
        coarse = np.kron(rng.random((size // 8, size // 8)), np.ones((8, 8)))
        file = io.BytesIO()
        np.save(file, (255 * coarse).astype(np.uint8))
        files.append(file.getvalue())
    return files


def sampler_rate(model: str, size: int, n: int, seconds: float, threads: int | None) -> float:
    """Images a second of the sampler alone, one at a time or in batches, whichever is faster."""
    import torch

    import fastpunet
    from fastpunet.intensity import EIGHT_BIT

    if threads:
        torch.set_num_threads(threads)
    sampler = fastpunet.Sampler(fastpunet.load(model))
    rule = sampler.method.intensity or EIGHT_BIT
    images = torch.stack([torch.from_numpy(rule.apply(np.load(io.BytesIO(body)))[None]) for body in bodies(size)])
    ids = torch.arange(IMAGES)
    best = 0.0
    for batch in (1, BATCH):
        sampler.sample(images[:batch], n, seed=0, ids=ids[:batch], output="bits")
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            some = slice(count % IMAGES, count % IMAGES + batch)
            sampler.sample(images[some], n, seed=0, ids=ids[some], output="bits")
            count += batch
        best = max(best, count / (time.perf_counter() - began))
    return best


@dataclass
class Told:
    """What clients of one process saw."""

    seconds: list[float] = field(default_factory=list)  # of each answer
    refused: int = 0
    interrupted: int = 0  # connections that a kill ended, or that found nobody
    wrong: list[str] = field(default_factory=list)


class Service:
    def __init__(self, model: str, port: int, threads: int | None) -> None:
        options = [] if threads is None else ["--threads", str(threads)]
        command = [sys.executable, "-m", "fastpunet.cli", "serve", model, "--port", str(port), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "http://" not in line:
            raise RuntimeError("the service did not start")
        self.port = int(line.rsplit(":", 1)[1])
        self.name = line.split()[1]

    def end(self, how: int) -> int:
        os.kill(self.process.pid, how)
        return self.process.wait()


def ask(
    connection: http.client.HTTPConnection, name: str, body: bytes, number: int, n: int
) -> tuple[int, float, bytes]:
    connection.request("POST", f"/models/{name}/sample?output=bits&seed=0&id={number}&n={n}", body)
    reply = connection.getresponse()
    return reply.status, float(reply.headers.get("Retry-After", 0)), reply.read()


def client(port: int, name: str, n: int, expected: list[str], files: list[bytes], end: float, told: Told) -> None:
    """Ask for one image after another until `end`."""
    connection, number = http.client.HTTPConnection("127.0.0.1", port, timeout=300), threading.get_ident() % IMAGES
    while time.monotonic() < end:
        number = (number + 1) % IMAGES
        began = time.perf_counter()
        try:
            status, wait, body = ask(connection, name, files[number], number, n)
        except (OSError, http.client.HTTPException):
            told.interrupted += 1
            connection.close()
            time.sleep(0.2)
            continue
        if status == 503:
            told.refused += 1
            time.sleep(wait)
        elif status != 200 or sha256(body).hexdigest() != expected[number]:
            told.wrong.append(f"{status} {body[:200]!r}" if status != 200 else "other bytes")
        elif time.monotonic() <= end:
            told.seconds.append(time.perf_counter() - began)
    connection.close()


def load(
    port: int, name: str, n: int, expected: list[str], size: int, clients: int, seconds: float, to: mp.Queue
) -> None:
    """Clients in threads of this process, which is not the service's."""
    files, end, told = bodies(size), time.monotonic() + seconds, Told()
    threads = [
        threading.Thread(target=client, args=(port, name, n, expected, files, end, told)) for _ in range(clients)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    to.put(told)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    context = mp.get_context("spawn")
    alone = (options.model, options.size, options.n, min(30.0, options.seconds / 4), options.threads)

    def rate() -> float:
        with context.Pool(1) as pool:
            return float(pool.apply(sampler_rate, alone))

    rates = [rate()]
    service = Service(options.model, 0, options.threads)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=300)
    replies = [ask(connection, service.name, body, k, options.n) for k, body in enumerate(bodies(options.size))]
    connection.close()
    expected = [sha256(body).hexdigest() for _, _, body in replies]
    results: mp.Queue = context.Queue()

    def start(seconds: float) -> mp.Process:
        arguments = (service.port, service.name, options.n, expected, options.size, options.clients, seconds, results)
        process = context.Process(target=load, args=arguments)
        process.start()
        return process

    process = start(options.seconds)
    steady: Told = results.get()
    process.join()
    disturbed = Told()
    if options.kills:
        process = start(options.seconds / 4)
        for _ in range(options.kills):
            time.sleep(options.seconds / 4 / (options.kills + 1))
            service.end(signal.SIGKILL)
            service = Service(options.model, service.port, options.threads)
        disturbed = results.get()
        process.join()
    ended = service.end(signal.SIGTERM)
    rates.append(rate())

    if not steady.seconds:
        print(f"no answer at all: {steady.wrong[:3]}")
        return 1
    quantiles = statistics.quantiles(steady.seconds, n=100) if len(steady.seconds) > 1 else steady.seconds * 99
    served = len(steady.seconds) / options.seconds
    print(
        json.dumps(
            {
                **machine(),
                "model": options.model,
                "image": [options.size, options.size],
                "n": options.n,
                "clients": options.clients,
                "seconds": options.seconds,
                "answers": len(steady.seconds),
                "p50 ms": round(1000 * quantiles[49], 1),
                "p99 ms": round(1000 * quantiles[98], 1),
                "answers a second": round(served, 2),
                "sampler alone, images a second": [round(one, 2) for one in rates],
                "share of the sampler": round(served / statistics.mean(rates), 3),
                "refused": steady.refused,
                "interrupted": steady.interrupted,
                "wrong": steady.wrong[:10],
                "killed": options.kills,
                "answers around the kills": len(disturbed.seconds),
                "refused around the kills": disturbed.refused,
                "interrupted around the kills": disturbed.interrupted,
                "wrong around the kills": disturbed.wrong[:10],
                "exit status after SIGTERM": ended,
            },
            indent=1,
        )
    )
    return 1 if steady.wrong or steady.interrupted or disturbed.wrong or ended else 0


if __name__ == "__main__":
    sys.exit(main())
