"""The server under test: the one that ROOMCAST_URL names, or others started by ROOMCAST_SERVER_CMD."""

import os
import re
import selectors
import socket
import subprocess

WAIT_S = 10
SUITE = {"PING_INTERVAL": 300, "PING_TIMEOUT": 200, "CONNECT_TIMEOUT": 1000, "MAX_PAYLOAD": 1_000_000}
STEADY = {"PING_INTERVAL": 10_000, "PING_TIMEOUT": 10_000, "CONNECT_TIMEOUT": 10_000, "MAX_PAYLOAD": 1_000_000}


class Server:
    def __init__(self, profile, port=None):
        command = os.environ.get("ROOMCAST_SERVER_CMD")
        assert command, "ROOMCAST_SERVER_CMD must name the command that starts the server under test"
        self.profile = profile
        self.port = port or free_port()
        settings = {**profile, "HOST": "127.0.0.1", "PORT": self.port}
        environment = {**os.environ, **{name: str(value) for name, value in settings.items()}}
        self.process = subprocess.Popen(command.split(" "), env=environment, stdout=subprocess.PIPE, text=True)
        try:
            self.url = self._ready()
        except BaseException:
            self.process.kill()
            raise

    def _ready(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(WAIT_S), f"no line from the server within {WAIT_S} s"
        line = self.process.stdout.readline().rstrip()
        match = re.fullmatch(r"listening on (http://\S+)", line)
        assert match, f"the server's first line is not 'listening on …': {line!r}"
        return match[1]

    def stop(self):
        """Asks the server to end, and demands that it does so in good order."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            status = self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the server did not end within {WAIT_S} s after SIGTERM") from None
        finally:
            self.process.stdout.close()
        assert status == 0, f"exit status {status} after SIGTERM"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
