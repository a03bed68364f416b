"""Open WebUI, roomcast in front of it, and browsers."""

import asyncio
import os
import pathlib
import signal
import socket
import subprocess
import sys
import uuid

import aiohttp
import socketio

PATIENCE = 30
SECRET = "a-secret-of-these-checks"
KEY = "a-key-of-these-checks"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Stage:
    """The processes, in a folder of their own."""

    def __init__(self, folder, program, model_url, workers=1, redis=False, bridge=True):
        """``redis``: the backend keeps its own state in a Redis. ``bridge``: its events go by the package of this folder; else
        over that Redis, to which roomcast listens as well, and the package does nothing."""
        self.folder, self.program, self.model_url, self.workers = pathlib.Path(folder), program, model_url, workers
        self.is_bridged = bridge
        self.backend_port, self.roomcast_port = free_port(), free_port()
        self.backend_url = f"http://127.0.0.1:{self.backend_port}"
        self.roomcast_url = f"http://127.0.0.1:{self.roomcast_port}"
        self.redis_port = free_port() if redis else None
        self.backend = self.roomcast = self.redis = None

    async def start(self):
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        if self.redis_port:
            command = ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", ""]
            self.redis = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)
        await self.start_backend()
        await self.start_roomcast()

    async def start_backend(self):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "DATA_DIR": str(self.folder / "data"),
            "WEBUI_SECRET_KEY": SECRET,
            "OPENAI_API_BASE_URL": f"{self.model_url}/v1",
            "OPENAI_API_KEY": "none",
            "ENABLE_OLLAMA_API": "false",
            "ENABLE_CHANNELS": "true",
            "BYPASS_MODEL_ACCESS_CONTROL": "true",
            "ENABLE_DIRECT_CONNECTIONS": "true",
            "ENABLE_REALTIME_CHAT_SAVE": "false",
            # Nothing is fetched from anywhere.
            "OFFLINE_MODE": "true",
            "RAG_EMBEDDING_ENGINE": "openai",
            "ANONYMIZED_TELEMETRY": "false",
            "DO_NOT_TRACK": "true",
            "UVICORN_WORKERS": str(self.workers),
            # Off in newer versions.
            "ENABLE_USER_WEBHOOKS": "true",
            "USER_PERMISSIONS_FEATURES_USER_WEBHOOKS": "true",
            "ENABLE_ENCRYPTED_CHANNELS": "true",
            "USER_PERMISSIONS_FEATURES_ENCRYPTED_CHANNELS": "true",
            # The receiver of webhooks is on this machine.
            "ENABLE_LOCAL_WEB_FETCH": "true",
            "ENABLE_RAG_LOCAL_WEB_FETCH": "true",
            "USER_PERMISSIONS_FEATURES_DIRECT_TOOL_SERVERS": "true",
            "USER_PERMISSIONS_SETTINGS_DIRECT_CONNECTIONS": "true",
        }
        environment |= self._redis()
        if self.is_bridged:
            environment |= {"ROOMCAST_URL": self.roomcast_url, "ROOMCAST_API_KEY": KEY}
        log = open(self.folder / "backend.log", "a")
        command = [str(pathlib.Path(sys.executable).parent / "open-webui"), "serve"]
        command += ["--host", "127.0.0.1", "--port", str(self.backend_port)]
        self.backend = subprocess.Popen(
            command, env=environment, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        await self.answers(f"{self.backend_url}/health", self.backend, 180)

    def _redis(self):
        if not self.redis_port:
            return {}
        url = f"redis://127.0.0.1:{self.redis_port}/0"
        return {"WEBSOCKET_MANAGER": "redis", "WEBSOCKET_REDIS_URL": url, "REDIS_URL": url}

    async def start_roomcast(self):
        environment = {
            "WEBUI_SECRET_KEY": SECRET,
            "ROOMCAST_API_KEY": KEY,
            "DATA_DIR": str(self.folder / "data"),
            "ROOMCAST_LOG": "info",
            "ENABLE_CHANNELS": "true",
        }
        if not self.is_bridged:
            environment |= self._redis()
        log = open(self.folder / "roomcast.log", "a")
        command = [self.program, "--port", str(self.roomcast_port)]
        self.roomcast = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT)
        await self.answers(f"{self.roomcast_url}/ready", self.roomcast, 30)
        if self.is_bridged:
            await self.bridged()

    async def bridged(self):
        """Every worker is connected."""
        async with aiohttp.ClientSession() as session:
            for _ in range(PATIENCE * 10):
                async with session.get(f"{self.roomcast_url}/metrics") as response:
                    lines = (await response.text()).splitlines()
                found = [line for line in lines if line.startswith("roomcast_server_sockets ")]
                apps = [line for line in lines if line.startswith("roomcast_app_sockets ")]
                if float(found[0].split()[1]) - float(apps[0].split()[1]) >= self.workers:
                    return
                await asyncio.sleep(0.1)
        raise AssertionError("the backend has not connected to roomcast")

    async def answers(self, url, process, seconds):
        async with aiohttp.ClientSession() as session:
            for _ in range(seconds * 5):
                assert process.poll() is None, f"it has ended; see the logs in {self.folder}"
                try:
                    async with session.get(url) as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.2)
        raise AssertionError(f"{url} does not answer")

    def kill_backend(self):
        os.killpg(self.backend.pid, signal.SIGKILL)
        self.backend.wait()

    def kill_roomcast(self):
        self.roomcast.kill()
        self.roomcast.wait()

    def stop(self):
        for process, group in ((self.roomcast, False), (self.backend, True), (self.redis, False)):
            if process is None or process.poll() is not None:
                continue
            # Its workers are processes of its own group.
            os.killpg(process.pid, signal.SIGKILL) if group else process.kill()
            process.wait()


class User:
    """Someone with an account, the HTTP side of a browser."""

    def __init__(self, stage, name):
        self.stage, self.name = stage, name
        self.http = aiohttp.ClientSession()
        self.browsers = []

    async def sign(self, path, headers=None):
        form = {"name": self.name, "email": f"{self.name}@example.org", "password": "a-password-1"}
        if path == "add":
            form["role"] = "user"
        async with self.http.post(f"{self.stage.backend_url}/api/v1/auths/{path}", json=form, headers=headers) as response:
            found = await response.json()
            assert response.status == 200, found
        self.id, self.token = found["id"], found["token"]
        self.headers = {"authorization": f"Bearer {self.token}"}
        return self

    async def ask(self, method, path, body=None, status=200):
        request = self.http.request(method, f"{self.stage.backend_url}{path}", json=body, headers=self.headers)
        async with request as response:
            text = await response.text()
            assert response.status == status, f"{method} {path}: {response.status} {text[:500]}"
            return await response.json() if "json" in response.headers.get("content-type", "") else text

    async def browser(self):
        browser = Browser(self)
        await browser.connect()
        self.browsers.append(browser)
        return browser

    async def leave(self):
        for browser in self.browsers:
            await browser.client.disconnect()
        self.browsers = []

    async def close(self):
        await self.leave()
        await self.http.close()


class Browser:
    """One tab: its socket, and what it has received."""

    def __init__(self, user):
        self.user = user
        self.received = []
        self.news = asyncio.Condition()
        #: Answers events that ask for one, by their type.
        self.answers = {}

    async def connect(self):
        options = {"websocket_extra_options": {"max_msg_size": 0}}
        self.client = socketio.AsyncClient(reconnection_delay=1, reconnection_delay_max=5, handle_sigint=False, **options)
        self.client.on("*", self._on_any)
        self.client.on("connect", self._on_connect)
        url = self.user.stage.roomcast_url
        self.joined = asyncio.Event()
        await self.client.connect(
            url, socketio_path="ws/socket.io", transports=["websocket"], auth={"token": self.user.token}
        )
        await asyncio.wait_for(self.joined.wait(), PATIENCE)

    async def _on_connect(self):
        joined = await self.client.call("user-join", {"auth": {"token": self.user.token}}, timeout=PATIENCE)
        assert joined and joined["id"] == self.user.id, joined
        self.joined.set()

    async def _on_any(self, event, *args):
        async with self.news:
            self.received.append((event, args[0] if args else None))
            self.news.notify_all()
        kind = kind_of(args[0]) if args else None
        answer = self.answers.get(kind)
        return await answer(args[0]) if answer else None

    @property
    def sid(self):
        return self.client.get_sid()

    async def emit(self, event, *args):
        await self.client.emit(event, args)

    async def wait(self, matches, seconds=PATIENCE):
        """The first event received that matches."""

        def found():
            return next((item for item in self.received if matches(*item)), None)

        async with self.news:
            await asyncio.wait_for(self.news.wait_for(found), seconds)
            return found()[1]

    async def of_kind(self, kind, event="events", seconds=PATIENCE):
        return await self.wait(lambda name, data: name == event and kind_of(data) == kind, seconds)

    def all_of(self, kind, event="events"):
        return [data for name, data in self.received if name == event and kind_of(data) == kind]

    def forget(self):
        self.received.clear()


def kind_of(data):
    inner = data.get("data") if isinstance(data, dict) else None
    return inner.get("type") if isinstance(inner, dict) else None


def new_id():
    return str(uuid.uuid4())
