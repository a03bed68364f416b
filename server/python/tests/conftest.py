"""A real roomcast, as a demonstration, and browsers."""

import asyncio
import os
import pathlib
import queue
import socket
import subprocess
import threading

import pytest
import socketio

from roomcast_openwebui.server import RoomcastServer
from roomcast_openwebui.settings import Settings

ROOT = pathlib.Path(__file__).parents[3]
PROGRAM = os.environ.get("ROOMCAST_PROGRAM", str(ROOT / "target/debug/roomcast"))
#: No test waits for this long unless it fails.
PATIENCE = 30


class Roomcast:
    """The program on a port of its own, which it keeps when it is started again."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = "a-key-of-these-tests"
        self.start()

    def start(self):
        environment = {"ROOMCAST_API_KEY": self.key}
        command = [PROGRAM, "--port", str(self.port), "--page", "off"]
        self.process = subprocess.Popen(
            command, env=environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.tokens = {}
        lines = queue.Queue()
        threading.Thread(target=lambda: [lines.put(line) for line in self.process.stdout], daemon=True).start()
        while len(self.tokens) < 3:
            line = lines.get(timeout=PATIENCE)
            if "token of " in line:
                user, token = line.split("token of ")[1].split()[0].rstrip(":"), line.split()[-1]
                self.tokens[user] = token

    def kill(self):
        self.process.kill()
        self.process.wait()

    def settings(self, **more):
        return Settings(url=self.url, api_key=self.key, **more)


@pytest.fixture
def roomcast(tmp_path):
    program = Roomcast(tmp_path)
    yield program
    program.kill()


class Browser:
    """A client as Open WebUI's front end is one, and what it has received."""

    def __init__(self):
        # aiohttp's client refuses messages over 4 MiB unless told otherwise.
        large = {"max_msg_size": 0}
        self.client = socketio.AsyncClient(reconnection=False, handle_sigint=False, websocket_extra_options=large)
        self.received = asyncio.Queue()
        self.client.on("*", self._on_any)
        self.answer = None

    async def _on_any(self, event, *args):
        await self.received.put((event, *args))
        return self.answer(event, *args) if self.answer else None

    async def join(self, roomcast, user):
        await self.client.connect(roomcast.url, socketio_path="ws/socket.io", transports=["websocket"])
        if user:
            auth = {"auth": {"token": roomcast.tokens[user]}}
            joined = await self.client.call("user-join", auth, timeout=PATIENCE)
            assert joined["id"] == user
        return self

    @property
    def sid(self):
        return self.client.get_sid()

    async def next(self):
        return await asyncio.wait_for(self.received.get(), PATIENCE)


class World:
    """Servers as they stand in processes of Open WebUI, and browsers."""

    def __init__(self, roomcast):
        self.roomcast, self.browsers, self.servers = roomcast, [], []

    async def browser(self, user=None):
        browser = await Browser().join(self.roomcast, user)
        self.browsers.append(browser)
        return browser

    async def server(self, **settings):
        server = RoomcastServer(self.roomcast.settings(**settings), async_mode="asgi")
        server.own_handlers = False
        self.servers.append(server)
        server.bridge.start()
        await until(lambda: server.bridge.is_connected)
        return server

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for browser in self.browsers:
            await browser.client.disconnect()
        for server in self.servers:
            await asyncio.to_thread(server.bridge.close)


@pytest.fixture
def world(roomcast):
    return World(roomcast)


async def until(condition):
    """Another thread makes it true."""

    async def look():
        while not condition():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(look(), PATIENCE)
