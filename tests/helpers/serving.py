"""A service in a thread or a process of its own, and a client of it."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from urllib.parse import urlencode

from fastpunet.serving.running import Manner, Place, make_server
from fastpunet.serving.uploads import private_folder


class Reply:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """The message of a refusal, which is one line."""
        message = self.json["error"]
        assert list(self.json) == ["error"]
        assert "\n" not in message
        return message


class Client:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def connect(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=120)

    def ask(self, method, path, body=None, headers=None):
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.ask("GET", path, headers=headers)

    def post(self, endpoint, body, model="lesions", headers=None, **asked):
        return self.ask("POST", f"/models/{model}/{endpoint}?{urlencode(asked)}", body, headers)

    def metric(self, name):
        lines = self.get("/metrics").body.decode().splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)), 0.0)


@contextmanager
def in_thread(served, manner=None, **place):
    """A service of open models in a thread; yields its client."""
    where = Place(port=0, **place)
    with private_folder() as folder, where.listen() as listener:
        server = make_server(served, where, manner or Manner(), folder)
        ready = threading.Event()
        server.started_on = ready.set
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert ready.wait(60)
            yield Client(*listener.getsockname()[:2])
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


class Process:
    """`fastpunet serve` in a process of its own."""

    def __init__(self, *options, port=0):
        command = [sys.executable, "-m", "fastpunet.cli", "serve", "lesions", "--port", str(port), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        address = self.process.stdout.readline().split("http://")[1]
        self.client = Client("127.0.0.1", int(address.rsplit(":", 1)[1]))

    def end(self, how=signal.SIGTERM):
        """Send a signal, and return the exit status."""
        os.kill(self.process.pid, how)
        status = self.process.wait(60)
        self.process.stdout.close()
        self.process.stderr.close()
        return status


def eventually(condition, seconds=60):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
