"""Whom the service refuses, and how it says so: limits, bad files, full queues, vanished clients, strangers."""

import io
import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import fastapi  # noqa: F401  # the extra `serve`
import numpy as np
import pytest
from helpers.mutated_files import mutate
from helpers.serving import eventually, in_thread
from test_serving import png

from fastpunet.cli import main
from fastpunet.models.latent_method import LatentMethod
from fastpunet.prediction import fitting
from fastpunet.prediction.request import Request
from fastpunet.serving import answers, app, connections
from fastpunet.serving.limits import Limits
from fastpunet.serving.running import Manner, Place
from fastpunet.serving.served import open_served

TOKEN = "a-token-of-many-characters"


@pytest.fixture(scope="module")
def models():
    return open_served(["lesions"], Request(), "cpu")


@pytest.fixture(scope="module")
def client(models):
    with in_thread(models, Manner(limits=Limits(mebibytes=1, pixels=128 * 128, n=500, labels=10**6))) as one:
        yield one


def npy(array, **how):
    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"n": 0}, "n: got '0', expected at least 1"),
        ({"n": "many"}, "n: got 'many', expected a valid integer"),
        ({"n": 501}, "n: got 501, expected at most 500, the limit here (--max-n)"),
        ({"seed": -1}, "seed: got '-1', expected at least 0"),
        ({"seed": 2**63}, "seed: got '9223372036854775808', expected below 9223372036854775808"),
        ({"sed": 1}, "sed: unknown, expected one of n, seed, id, name, "),
        ({"output": "masks"}, "output: got 'masks', expected 'answer', 'bits', 'maps' or 'measures'"),
        ({"modes": 101}, "modes: got '101', expected at most 100"),
        ({"intensity": "window:1"}, "intensity: got 'window:1', expected range:LOW:HIGH, "),
        ({"spacing": "wide"}, "spacing: got 'wide', expected millimetres, such as 0.7"),
        ({"spacing": "1,2,3"}, "image: has 2 axes, but the spacing has 3 numbers"),
        ({"spacing": "-1"}, "spacing: got [-1.0], expected positive numbers of mm"),
        ({"name": ""}, "name: got '', expected at least 1 character"),
    ],
)
def test_parameters(client, asked, message):
    reply = client.post("sample", png(0), **({"n": 4} | asked))
    assert reply.status == 422
    assert reply.error.startswith(message)


@pytest.mark.parametrize(
    ("body", "name", "status", "message"),
    [
        (b"", "image", 422, "file: is empty, expected the bytes of an image as the body of the request"),
        (b"no image", "image", 422, "file: image has an unknown format, expected png, jpeg, tiff, nifti, dicom, npz"),
        (png(0)[:300], "a.png", 422, "file: a.png is truncated or not a single image ("),
        (b"no image", "../../a b.dcm", 422, "file: a_b.dcm is "),
        (
            npy(np.array([{}]), allow_pickle=True),
            "a.npy",
            422,
            "file: a.npy is truncated or not a NumPy array (",
        ),
        (
            npy(np.zeros((200, 200))),
            "a.npy",
            413,
            "file: has 40000 pixels, expected at most 16384, the limit here (",
        ),
        (npy(np.zeros((101, 101))), "a.npy", 422, "n: got 100, expected at most 98 for an image of 10201 pixels"),
        (npy(np.full((8, 8), np.nan)), "a.npy", 422, "input: a.npy has NaN or infinite values"),
        (npy(np.zeros((8, 8, 3))), "a.npy", 422, "a: has colours (RGB), but the model takes grey values"),
        (bytes(2**20 + 1), "image", 413, "file: has more than 1 MiB, the limit here (--max-mebibytes)"),
    ],
)
def test_files(client, body, name, status, message):
    for endpoint in ("sample", "report"):
        reply = client.post(endpoint, body, n=100, name=name)
        assert reply.status == status
        assert reply.error.startswith(message)


def test_a_form(client):
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    reply = client.post("sample", b"--x\r\n\r\n" + png(0) + b"\r\n--x--", n=4, headers=kind)
    assert reply.status == 415
    assert "expected the bytes of the file as the body of the request, as curl --data-binary @FILE" in reply.error


def test_a_parameter_that_is_given_twice(client):
    reply = client.ask("POST", "/models/lesions/sample?n=2&seed=1&n=3", png(0))
    assert (reply.status, reply.error) == (422, "n: given 2 times, expected once")


def test_connections_without_a_request_are_closed(client, monkeypatch):
    monkeypatch.setattr(connections, "_SECONDS", 0.5)

    def connect(*parts):
        connection = socket.create_connection((client.host, client.port), timeout=30)
        for part in parts:
            connection.send(part)
        return connection

    def dribbled_away(connection, parts):
        """Whether it is closed while the parts are sent, one every 50 ms."""
        try:
            for part in parts:
                connection.send(bytes([part]))
                time.sleep(0.05)
        except (BrokenPipeError, ConnectionResetError):
            return True
        return False

    head = f"GET /health/live HTTP/1.1\r\nHost: {client.host}\r\n".encode()
    body = png(0)
    asking = f"POST /models/lesions/sample?n=2 HTTP/1.1\r\nHost: {client.host}\r\nContent-Length: {len(body)}\r\n\r\n"
    with connect() as silent, connect() as slow, connect(asking.encode()) as busy:
        assert dribbled_away(slow, head * 3)
        assert silent.recv(1) == b""
        busy.send(body)
        assert busy.recv(15) == b"HTTP/1.1 200 OK"
    with connect(head + b"\r\n", head) as again:
        answer = b"".join(iter(lambda: again.recv(1 << 16), b""))
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.count(b"HTTP/1.1") == 1


def test_a_body_of_unknown_length_is_measured_as_it_comes(client):
    connection = client.connect()
    connection.request("POST", "/models/lesions/sample?n=4", (bytes(1 << 16) for _ in range(17)), encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_paths_and_models(client):
    assert client.post("sample", png(0), model="other").error == "model: got 'other', expected one of lesions"
    assert client.post("sample", png(0), model="other").status == 404
    assert client.get("/models/lesions").status == 404
    assert client.get("/models/lesions/sample").status == 405
    assert client.get("/docs").error == "GET /docs: not found; see /openapi.json"


def test_damaged_files_never_break_it(client):
    rng = np.random.default_rng(0)
    whole = [("a.png", png(0)), ("a.npy", npy(np.arange(256.0).reshape(16, 16)))]
    for name, content in whole * 25:
        reply = client.post("sample", mutate(content, rng), n=4, name=name, output="measures")
        if reply.status != 200:
            assert reply.status in (413, 422)
            assert name.split(".")[0] in reply.error or "pixels" in reply.error
            assert "/tmp" not in reply.error
    assert client.post("sample", png(0), n=4).status == 200


def test_malformed_requests_never_break_it(client):
    rng = np.random.default_rng(1)
    head = b"POST /models/lesions/sample?n=4 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nabcd"
    for _ in range(40):
        connection = client.connect()
        connection.connect()
        connection.sock.settimeout(5)
        connection.sock.sendall(mutate(head, rng))
        connection.sock.shutdown(1)
        answer = connection.sock.recv(1 << 16)
        assert not answer or re.match(rb"HTTP/1\.1 4\d\d ", answer)
        connection.close()
    assert client.post("sample", png(0), n=4).status == 200


def test_an_error_of_the_service_says_no_more_than_its_kind(client, monkeypatch):
    def broken(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr(app, "answer_sample", broken)
    reply = client.post("sample", png(0), n=4)
    assert (reply.status, reply.error) == (500, "RuntimeError in the service; its log says more")
    monkeypatch.undo()
    assert client.post("sample", png(0), n=4).status == 200


def test_memory_that_runs_out(client, monkeypatch, caplog):
    expected = client.post("sample", png(0), n=24, output="bits").body
    draw = LatentMethod.draw

    def limited(self, encoding, noise, **options):
        if noise.n > most:
            raise MemoryError
        return draw(self, encoding, noise, **options)

    monkeypatch.setattr(LatentMethod, "draw", limited)
    most = 5
    assert client.post("sample", png(0), n=24, output="bits").body == expected
    assert "memory ran out with 6 hypotheses at a time; went on with 3" in caplog.text
    most = 0
    for endpoint in ("sample", "report"):
        reply = client.post(endpoint, png(0), n=24)
        assert (reply.status, reply.headers["Retry-After"]) == (503, "10")
        assert reply.error == "there is not enough memory now; ask for fewer hypotheses, or again in 10 s"
    assert client.metric('fastpunet_refusals_total{reason="memory"}') == 2
    monkeypatch.undo()
    monkeypatch.setattr(fitting, "free_memory", lambda _: 1_100_000)
    reply = client.post("sample", png(0), n=200)
    assert (reply.status, reply.error.split(";")[1]) == (422, " pass at most n=67")
    assert client.post("sample", png(0), n=67).status == 200


class Blocked:
    """Takes the place of drawing: begins, and waits until it may go on."""

    def __init__(self, monkeypatch):
        self.begun, self.free, self.ended = [], threading.Event(), []
        self._draw = answers.draw
        monkeypatch.setattr(answers, "draw", self)

    def __call__(self, sampler, prepared, ids, request, watch, note):
        self.begun.append(ids[0])
        try:
            while not self.free.wait(0.01):
                watch()
            return self._draw(sampler, prepared, ids, request, watch, note)
        finally:
            self.ended.append(ids[0])


@pytest.fixture
def blocked(monkeypatch):
    one = Blocked(monkeypatch)
    yield one
    one.free.set()


@pytest.fixture
def narrow(models, blocked):
    """A service with one worker and one place to wait, whose worker is blocked."""
    with in_thread(models, Manner(workers=1, limits=Limits(waiting=1, seconds=30))) as one:
        yield one
        blocked.free.set()


def test_a_full_queue_says_when_to_come_back(narrow, blocked):
    with ThreadPoolExecutor(2) as threads:
        taken = [threads.submit(narrow.post, "sample", png(0), n=4, id=id) for id in range(2)]
        eventually(lambda: narrow.get("/health/ready").status == 503)
        eventually(lambda: (narrow.metric("fastpunet_running"), narrow.metric("fastpunet_waiting")) == (1, 1))
        refused = narrow.post("sample", png(0), n=4)
        assert refused.status == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.error.startswith(
            "2 requests are waiting or being computed, the limit here (--max-waiting); ask again in"
        )
        assert narrow.metric('fastpunet_refusals_total{reason="queue full"}') == 1
        assert narrow.get("/health/live").status == 200
        blocked.free.set()
        assert [one.result().status for one in taken] == [200, 200]
    assert narrow.get("/health/ready").status == 200
    assert narrow.post("sample", png(0), n=4).status == 200


def test_what_nobody_waits_for_is_not_computed(narrow, blocked):
    clients = [narrow.connect() for _ in range(2)]
    for id, one in enumerate(clients):
        one.request("POST", f"/models/lesions/sample?n=4&id={id}", png(0))
        eventually(
            lambda count=id + 1: narrow.metric("fastpunet_running") + narrow.metric("fastpunet_waiting") == count
        )
    eventually(lambda: blocked.begun == [0])
    for one in reversed(clients):
        one.close()
    eventually(lambda: blocked.ended == [0])
    eventually(lambda: narrow.metric('fastpunet_refusals_total{reason="client left"}') == 2)
    eventually(lambda: narrow.get("/health/ready").status == 200)
    blocked.free.set()
    assert narrow.post("sample", png(0), n=4, id=2).status == 200
    assert blocked.begun == [0, 2]


def test_time_is_limited(models, blocked):
    with in_thread(models, Manner(workers=1, limits=Limits(seconds=1))) as client:
        late = client.post("sample", png(0), n=4, id=5)
        assert late.status == 504
        assert late.error.startswith("the answer took longer than the limit here (--max-seconds)")
        eventually(lambda: blocked.ended == [5])
        connection = client.connect()
        connection.putrequest("POST", "/models/lesions/sample")
        connection.putheader("Content-Length", "100")
        connection.endheaders(b"only the beginning")
        reply = connection.getresponse()
        assert reply.status == 408
        assert json.loads(reply.read())["error"] == "file: did not arrive within 1 s (--max-seconds)"
        connection.close()


def test_only_who_knows_the_token(models):
    with in_thread(models, token=TOKEN) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            for reply in (client.post("sample", png(0), headers=headers), client.get("/metrics", **headers)):
                assert reply.status == 401
                assert reply.headers["WWW-Authenticate"] == "Bearer"
                assert reply.error == "token: missing or wrong, expected the header Authorization: Bearer TOKEN"
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert client.post("sample", png(0), headers=bearer, n=4).status == 200
        assert client.get("/models", **bearer).status == 200
        assert [client.get(path).status for path in ("/", "/health/live", "/health/ready")] == [200] * 3
        assert 'id="token"' in client.get("/").body.decode()


def test_only_by_its_own_name_and_for_its_own_pages(models, client):
    for name in ("evil.example", "evil.example:80", "localhost.evil.example", "", "[::1"):
        assert client.get("/models", Host=name).status == 421
    for name in ("localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000"):
        assert client.get("/models", Host=name).status == 200
    own = f"127.0.0.1:{client.port}"
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        reply = client.post("sample", png(0), headers={"Host": own, "Origin": origin})
        assert reply.status == 403
        assert "Access-Control-Allow-Origin" not in reply.headers
    assert client.post("sample", png(0), headers={"Host": own, "Origin": f"http://{own}"}, n=4).status == 200
    with in_thread(models, names=["seg.example"]) as other:
        assert [other.get("/models", Host=name).status for name in ("seg.example", "other.example")] == [200, 421]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"host": "0.0.0.0"}, "host: got 0.0.0.0, which other machines can reach, without a token; give --token-file"),
        ({"host": "::"}, "host: got ::, which other machines can reach, without a token"),
        ({"host": "seg.example"}, "host: got seg.example, which other machines can reach, without a token"),
        ({"token": "short"}, "token: has 5 characters, expected at least 16 of ASCII"),
        ({"port": 65536}, "port: got 65536, expected a whole number of at least 0 and at most 65535"),
    ],
)
def test_places(place, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Place(**place)
    assert Place(host="0.0.0.0", token=TOKEN).rules.hosts is None
    assert Place(host="127.0.0.2").local


def test_a_port_that_is_taken(tmp_path, capsys):
    with Place(port=0).listen() as listener:
        port = str(listener.getsockname()[1])
        assert main(["serve", "lesions", "--port", port, "--device", "cpu"]) == 2
    assert f"port: nothing can listen at 127.0.0.1:{port} (Address already in use)" in capsys.readouterr().err
    (tmp_path / "token").write_text("short\n")
    assert main(["serve", "lesions", "--host", "0.0.0.0", "--token-file", str(tmp_path / "token")]) == 2
    assert main(["serve", "lesions", "--max-n", "0"]) == 2
    assert main(["serve", "lesions", "--workers", "0"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in errors] == ["token", "n", "workers"]
