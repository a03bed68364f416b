"""The connection to roomcast.

Owns: a thread with an event loop of its own, the Socket.IO client in it, and what waits to be sent. Must never know: Open
WebUI.

The thread is what lets any other thread ask and wait for the answer: ``get_participants`` of python-socketio is no
coroutine, and plugins emit from event loops of their own.
"""

import asyncio
import atexit
import concurrent.futures
import json
import logging
import os
import random
import threading
import time
import uuid
from typing import Any, Awaitable, Callable, Optional

import socketio

from . import wire
from .outbox import Batch, Outbox, Request
from .settings import Settings

log = logging.getLogger("roomcast")

#: A browser's event: sid, event, arguments. What it returns is the ack.
Receive = Callable[..., Awaitable[Any]]


class Away(Exception):
    """roomcast cannot be reached now."""


class Refused(Exception):
    """roomcast has refused a request."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(f"{status}: {why}")
        self.status = status


class Bridge:
    """Sends steps in order, asks requests, and receives events. Every method may be called from any thread."""

    def __init__(self, settings: Settings, receive: Optional[Receive] = None) -> None:
        self.settings = settings
        self._receive = receive
        self._start_lock = threading.Lock()
        self._reset()
        # A child process has no thread of its parent's.
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._outbox = Outbox(self.settings.queue_bytes_max)
        self._thread: Optional[threading.Thread] = None
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._wake: Optional[asyncio.Event] = None
        self._client_id = uuid.uuid4().hex
        self._pending: dict[int, concurrent.futures.Future] = {}
        self._pending_lock = threading.Lock()
        self._next_request = 0
        self._listening: dict[str, Optional[str]] = {}
        self._connected = threading.Event()
        #: Until the first try to connect has ended: what is asked meanwhile waits for it.
        self._is_starting = True
        self._instance: Optional[str] = None
        self._settled_at = 0.0
        self._reads_again_at = 0.0
        self._dropped_logged = 0
        self._closing = False
        #: The longest that a call may wait, in seconds.
        self.call_timeout_max = 300.0
        #: Connections after the first one.
        self.reconnects = 0
        #: Steps that roomcast has refused.
        self.refused = 0

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    @property
    def _is_away(self) -> bool:
        return not (self.is_connected or self._is_starting)

    @property
    def dropped(self) -> int:
        """Steps that were dropped because too many waited."""
        return self._outbox.dropped

    @property
    def waiting(self) -> int:
        """Steps that wait, and batches whose arrival is not known."""
        return len(self._outbox)

    def start(self) -> None:
        """Connects, and stays connected. Everything else does so by itself."""
        if self._thread is not None:
            return
        with self._start_lock:
            if self._thread is not None:
                return
            ready = threading.Event()
            thread = threading.Thread(target=self._run, args=(ready,), name="roomcast-bridge", daemon=True)
            thread.start()
            ready.wait()
            self._thread = thread
            atexit.register(self.close, 1.0)

    def close(self, timeout: float = 1.0) -> None:
        """Sends what waits, for up to ``timeout`` seconds, and disconnects."""
        thread = self._thread
        if thread is None or not thread.is_alive() or self._closing:
            return
        end = time.monotonic() + timeout
        while self.is_connected and self.waiting and time.monotonic() < end:
            time.sleep(0.01)
        self._closing = True
        self._nudge()
        thread.join(timeout)

    def put(self, route: str, body: bytes) -> None:
        """Has roomcast do this, in order, once; kept while it is away."""
        self.start()
        self._outbox.put(wire.step(route, body))
        dropped = self._outbox.dropped
        if dropped > self._dropped_logged * 2:
            # 1, 3, 7, …: the log does not grow with what is dropped.
            self._dropped_logged = dropped
            log.warning("roomcast: %d events are dropped since the start: too many wait, or one is too large", dropped)
        self._nudge()

    def request(self, route: str, body: bytes) -> concurrent.futures.Future:
        """Asks. The future's result is the reply; its exception is :class:`Away` or :class:`Refused`."""
        self.start()
        future: concurrent.futures.Future = concurrent.futures.Future()
        if self._is_away:
            future.set_exception(Away("roomcast is not connected"))
            return future
        with self._pending_lock:
            self._next_request += 1
            request = Request(self._next_request, route, body)
            self._pending[request.id] = future
        self._outbox.put_request(request)
        self._nudge()
        if self._is_away:
            # It went away in between, perhaps after its requests were ended.
            self._end(request.id, Away("roomcast is not connected"))
        return future

    def read(self, route: str, body: bytes) -> Optional[dict]:
        """Asks, and blocks the calling thread until the reply: a round trip, about a millisecond. ``None`` if there is no
        answer; after one that took too long the next ones are not asked for a while.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("the thread of the bridge cannot wait for itself")
        if time.monotonic() < self._reads_again_at:
            return None
        try:
            return self.request(route, body).result(self.settings.read_timeout)
        except concurrent.futures.TimeoutError:
            log.warning("roomcast: no answer to %s in %s s", route, self.settings.read_timeout)
            self._reads_again_at = time.monotonic() + READ_PAUSE
        except Away:
            log.debug("roomcast: away, so nothing is read by %s", route)
        except Refused as refused:
            if refused.status != 404:
                log.warning("roomcast: %s was refused, %s", route, refused)
        return None

    def listen(self, event: str, user: Optional[str]) -> None:
        """Receives this event of browsers from now on; if ``user`` is given, only where that user is logged in."""
        self.start()
        self._listening[event] = user
        self._in_loop(self._tell, "listen", [[[event, user]]])

    def unlisten(self, event: str) -> None:
        if event in self._listening:
            del self._listening[event]
            self._in_loop(self._tell, "unlisten", [[event]])

    # What follows runs in the bridge's own thread.

    def _run(self, ready: threading.Event) -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._loop, self._wake = loop, asyncio.Event()
        ready.set()
        try:
            loop.run_until_complete(self._stay_connected())
        except Exception:
            log.exception("roomcast: the bridge has ended")
        finally:
            self._lost()
            loop.close()

    async def _stay_connected(self) -> None:
        delay = RECONNECT_FIRST
        refused = None
        while not self._closing:
            client = self._client = self._new_client()
            try:
                await client.connect(
                    self.settings.url,
                    auth={"key": self.settings.api_key},
                    transports=["websocket"],
                    namespaces=[NAMESPACE],
                    socketio_path=PATH,
                    wait_timeout=10,
                )
                await self._converse(client)
                delay, refused = RECONNECT_FIRST, None
            except (socketio.exceptions.SocketIOError, OSError, asyncio.TimeoutError) as error:
                why = str(error) or type(error).__name__
                if why != refused:
                    refused = why
                    log.warning("roomcast: cannot connect to %s: %s; trying again", self.settings.url, why)
            except Exception:
                # A fault of this file: the process goes on, and so does the bridge.
                log.exception("roomcast: the connection has failed; trying again")
            finally:
                self._lost()
                await client.disconnect()
            if not self._closing:
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))
                delay = min(delay * 2, RECONNECT_MAX)

    def _new_client(self) -> socketio.AsyncClient:
        client = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,
            # Replies may be longer than aiohttp's 4 MiB.
            websocket_extra_options={"max_msg_size": 0},
        )
        client.on("event", self._receive_event, namespace=NAMESPACE)
        client.on("reply", self._receive_reply, namespace=NAMESPACE)
        return client

    async def _converse(self, client: socketio.AsyncClient) -> None:
        """From ``hello`` to the end of the connection."""
        lost = asyncio.Event()
        wake = self._wake

        def on_disconnect(*_: Any) -> None:
            lost.set()
            wake.set()

        client.on("disconnect", on_disconnect, namespace=NAMESPACE)
        welcome = await client.call("hello", self._client_id, namespace=NAMESPACE, timeout=10)
        self.call_timeout_max = welcome["call_timeout_max_ms"] / 1000
        if self._instance is not None:
            self.reconnects += 1
            if welcome["instance"] != self._instance:
                # The browsers of the process before are not back yet.
                self._settled_at = time.monotonic() + self.settings.settle_seconds
        self._instance = welcome["instance"]
        if self._listening:
            await self._emit(client, "listen", list(map(list, self._listening.items())))
        resumed = self._outbox.resume(welcome["taken"])
        self._connected.set()
        self._is_starting = False
        log.info("roomcast: connected to %s, version %s", self.settings.url, welcome["version"])
        while not lost.is_set() and not self._closing:
            wake.clear()
            wait = self._settled_at - time.monotonic()
            if wait > 0:
                while (request := self._outbox.take_request()) is not None:
                    await self._send(client, request)
            else:
                wait = None
                for batch in resumed:
                    await self._send(client, batch)
                while not lost.is_set() and (item := self._outbox.take()) is not None:
                    await self._send(client, item)
            try:
                await asyncio.wait_for(wake.wait(), wait)
            except asyncio.TimeoutError:
                pass

    async def _send(self, client: socketio.AsyncClient, item: Any) -> None:
        if isinstance(item, Request):
            return await self._emit(client, "request", (item.id, item.route, item.body))

        def taken(outcome: dict) -> None:
            self._outbox.taken(item.number)
            self._wake.set()
            for index, status, why in outcome["refused"]:
                self.refused += 1
                if status == 404:
                    # A session that has just ended.
                    log.debug("roomcast: step %d of a batch came too late: %s", index, why)
                else:
                    log.error("roomcast: step %d of a batch was refused with %d: %s", index, status, why)

        assert isinstance(item, Batch)
        await self._emit(client, "batch", (item.number, item.body), taken)

    async def _emit(self, client: socketio.AsyncClient, event: str, data: Any, callback: Any = None) -> None:
        try:
            await client.emit(event, data, namespace=NAMESPACE, callback=callback)
        except socketio.exceptions.BadNamespaceError:
            # Disconnected just now; the loop notices.
            pass

    def _tell(self, event: str, data: list) -> None:
        client = self._client
        if self.is_connected:
            asyncio.ensure_future(self._emit(client, event, tuple(data)))

    async def _receive_event(self, sid: str, event: str, *args: Any) -> Any:
        if self._receive is None:
            return None
        try:
            return await self._receive(sid, event, *args)
        except Exception:
            log.exception("roomcast: the handler of %r failed", event)
            return None

    async def _receive_reply(self, id: int, status: int, reply: Any) -> None:
        with self._pending_lock:
            future = self._pending.pop(id, None)
        if future is None or not future.set_running_or_notify_cancel():
            return
        if status == 200:
            future.set_result(reply)
        else:
            future.set_exception(Refused(status, reply.get("error", "")))

    def _lost(self) -> None:
        """The connection is gone: what was asked is not answered any more."""
        if self._connected.is_set() and not self._closing:
            log.warning("roomcast: the connection is lost; events wait")
        self._connected.clear()
        self._is_starting = False
        self._outbox.drop_requests()
        with self._pending_lock:
            ids = list(self._pending)
        for id in ids:
            self._end(id, Away("the connection to roomcast was lost"))

    # And these in any.

    def _end(self, id: int, error: Exception) -> None:
        with self._pending_lock:
            future = self._pending.pop(id, None)
        if future is not None and future.set_running_or_notify_cancel():
            future.set_exception(error)

    def _nudge(self) -> None:
        self._in_loop(self._wake.set if self._wake else lambda: None)

    def _in_loop(self, function: Callable, *args: Any) -> None:
        loop = self._loop
        try:
            if loop is not None:
                loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop is closed: the process ends.
            pass


#: The namespace, and the path of its endpoint.
NAMESPACE, PATH = "/bridge", "api/bridge"
#: Seconds until the next try to connect; it doubles, up to the second one.
RECONNECT_FIRST, RECONNECT_MAX = 0.2, 2.0
#: Seconds without reads after one that was not answered in time.
READ_PAUSE = 5.0
