"""The service as a process: how it ends, what a killed one leaves, and that clients go on when it is started again."""

import signal
import tempfile
import threading
import time
from pathlib import Path

import fastapi  # noqa: F401  # the extra `serve`
import pytest
from helpers.serving import Client, Process, eventually
from test_serving import png

from fastpunet.serving.uploads import private_folder

SLOW = {"n": 10_000, "output": "bits"}  # takes long enough for a signal to come meanwhile


def folders(place):
    return sorted(path for path in place.iterdir() if path.name.startswith("fastpunet-serve-"))


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files that nobody else uses."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_sigterm_lets_requests_finish_and_takes_no_more(temporary):
    service = Process("--workers", "1")
    replies = []
    asking = [
        threading.Thread(target=lambda: replies.append(service.client.post("sample", png(0), **SLOW))) for _ in range(2)
    ]
    for one in asking:
        one.start()
    eventually(lambda: service.client.metric("fastpunet_running") + service.client.metric("fastpunet_waiting") == 2)
    assert service.end(signal.SIGTERM) == 0
    for one in asking:
        one.join(60)
    assert [reply.status for reply in replies] == [200, 200]
    assert replies[0].body == replies[1].body
    with pytest.raises(ConnectionRefusedError):
        service.client.get("/health/live")
    assert folders(temporary) == []


def test_clients_go_on_after_a_kill_and_get_the_same_bytes(temporary):
    service = Process()
    port = service.client.port
    expected = service.client.post("sample", png(0), n=50).body
    stop, bodies, interrupted = threading.Event(), [], []

    def ask():
        while not stop.is_set():
            try:
                reply = Client("127.0.0.1", port).post("sample", png(0), n=50)
                assert reply.status == 200
                bodies.append(reply.body)
            except OSError as error:  # refused, or closed in the middle
                interrupted.append(error)
                time.sleep(0.05)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for one in asking:
        one.start()
    eventually(lambda: len(bodies) > 8)
    assert service.end(signal.SIGKILL) == -signal.SIGKILL
    (left,) = folders(temporary)
    assert left.stat().st_mode & 0o777 == 0o700
    service = Process(port=port)
    before = len(bodies)
    eventually(lambda: len(bodies) > before + 8)
    stop.set()
    for one in asking:
        one.join(60)
    assert interrupted
    assert set(bodies) == {expected}
    assert service.end(signal.SIGINT) == 0
    assert folders(temporary) == []


def test_a_folder_in_use_is_left_alone(temporary):
    (temporary / "fastpunet-serve-other").mkdir()
    Path(temporary / "fastpunet-serve-link").symlink_to(temporary / "fastpunet-serve-other")
    with private_folder() as first, private_folder() as second:
        assert first != second
        assert first.exists()
        assert second.exists()
    assert [path.name for path in folders(temporary)] == ["fastpunet-serve-link", "fastpunet-serve-other"]
