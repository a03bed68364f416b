"""The program `roomcast` on tables of Open WebUI. ROOMCAST_PROGRAM names it."""

import json
import os
import pathlib
import selectors
import sqlite3
import subprocess
import urllib.error
import urllib.request

from server import WAIT_S, free_port
from tokens import token

SECRET = "the-secret-of-the-clients"
KEY = "the-key-of-the-clients"
WORLD = pathlib.Path(__file__).resolve().parents[3] / "server/tests/golden/webui.sql"


class App:
    def __init__(self, folder):
        self.database = folder / "webui.db"
        self.sql(WORLD.read_text(encoding="utf-8"))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        program = os.environ.get("ROOMCAST_PROGRAM")
        assert program, "ROOMCAST_PROGRAM must name the program"
        environment = {
            "WEBUI_SECRET_KEY": SECRET,
            "ROOMCAST_API_KEY": KEY,
            "ROOMCAST_LOG": "warn",
            "DATA_DIR": str(folder),
            "DATABASE_URL": f"sqlite:///{self.database}",
        }
        self.process = subprocess.Popen(
            [program, "--port", str(port)], env=environment, cwd=folder, stdout=subprocess.PIPE, text=True
        )
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(WAIT_S), f"no line from the program within {WAIT_S} s"
        line = self.process.stdout.readline()
        assert line.startswith("roomcast listens on "), line

    def sql(self, statements):
        """What the rest of the application writes."""
        connection = sqlite3.connect(self.database, timeout=60)
        connection.executescript(statements)
        connection.close()

    def api(self, path, **body):
        """What another process asks over HTTP: the status, and the answer."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def stop(self):
        self.process.terminate()
        try:
            assert self.process.wait(WAIT_S) == 0
        finally:
            self.process.kill()
            self.process.stdout.close()


def token_of(user, **claims):
    """As Open WebUI signs it."""
    return token(secret=SECRET, **{"id": user, "jti": f"of-{user}", **claims})
