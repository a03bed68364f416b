"""Real python-socketio clients, blocking and asyncio, behind one small face."""

import asyncio
import os
import queue
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import engineio
import socketio

WAIT_S = 10
TRANSPORTS = {
    "websocket": ["websocket"],
    "polling": ["polling"],
    "upgrade": ["polling", "websocket"],
}
if os.environ.get("ROOMCAST_MATRIX") == "short":
    KINDS = [("sync", "websocket"), ("async", "polling"), ("sync", "upgrade")]
else:
    KINDS = [(flavour, transport) for flavour in ("sync", "async") for transport in TRANSPORTS]


class Peer:
    """One connection of a real client. All that it receives waits in queues, by event name."""

    def __init__(self, kind, url, namespaces=("/",), auth=None, answer=None, **options):
        self.flavour, self.transport = kind
        self._inbox = defaultdict(queue.Queue)
        options = {"reconnection": False, "logger": False, "handle_sigint": False, **options}
        if self.flavour == "sync":
            self.client = OrderedClient(**options)
        else:
            # The client binds to the loop that makes it.
            self.client = _run(_make(socketio.AsyncClient, **options))
        for namespace in namespaces:
            self._listen(namespace, answer)
        self._connection = {
            "url": url,
            "auth": auth,
            "namespaces": list(namespaces),
            "transports": TRANSPORTS[self.transport],
        }

    def _listen(self, namespace, answer):
        def keep(name):
            return lambda *args: self._inbox[namespace, name].put(list(args))

        for name in ("connect", "connect_error", "disconnect"):
            self.client.on(name, keep(name), namespace=namespace)
        self.client.on("*", lambda name, *args: self._inbox[namespace, name].put(list(args)), namespace=namespace)
        if answer is not None:
            self.client.on("ask", lambda *args: answer(*args), namespace=namespace)

    def connect(self, wait=True):
        self._do(self.client.connect, **self._connection, wait=wait, wait_timeout=WAIT_S)
        if wait:
            for namespace in self._connection["namespaces"]:
                self.event("connect", namespace)
        return self

    def disconnect(self):
        self._settle()
        self._do(self.client.disconnect)

    def close(self):
        """Ends the connection, and the attempts to make a new one."""
        self._settle()
        self._do(self.client.shutdown)

    def emit(self, event, *args, namespace="/"):
        self._do(self.client.emit, event, args, namespace=namespace)

    def call(self, event, *args, namespace="/"):
        """Emits, and gives the arguments of the acknowledgement as a list."""
        answers = queue.Queue()
        keep = lambda *answer: answers.put(list(answer))
        self._do(self.client.emit, event, args, namespace=namespace, callback=keep)
        return _take(answers, f"ack of {event!r}")

    def call_upstream(self, event, *args, timeout):
        """The client's own way to wait for an acknowledgement."""
        return self._do(self.client.call, event, args, timeout=timeout)

    def event(self, name, namespace="/", wait_s=WAIT_S):
        """The arguments of the next event of this name."""
        return _take(self._inbox[namespace, name], f"event {name!r} in {namespace}", wait_s)

    def events(self, name, count, namespace="/"):
        return [self.event(name, namespace) for _ in range(count)]

    def untaken(self, name, namespace="/"):
        """How many events of this name came and were not taken."""
        return self._inbox[namespace, name].qsize()

    def sid(self, namespace="/"):
        return self.client.get_sid(namespace)

    @property
    def connected(self):
        return self.client.connected

    @property
    def engine(self):
        return self.client.eio

    def _settle(self):
        """Waits until nothing is being sent: a client that disconnects during a POST forgets to say so."""
        sending = self.engine.queue
        unfinished = "unfinished_tasks" if self.flavour == "sync" else "_unfinished_tasks"
        deadline = time.monotonic() + WAIT_S
        while self.connected and getattr(sending, unfinished) and time.monotonic() < deadline:
            time.sleep(0.001)

    def _do(self, method, *args, **kwargs):
        result = method(*args, **kwargs)
        return _run(result) if self.flavour == "async" else result


class OrderedEngine(engineio.Client):
    """Handles messages one after the other: upstream gives each a thread, and so loses their order."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._messages = ThreadPoolExecutor(max_workers=1)

    def _trigger_event(self, event, *args, **kwargs):
        if event != "message":
            return super()._trigger_event(event, *args, **kwargs)
        return self._messages.submit(self._handle, *args)

    def _handle(self, *args):
        try:
            self.handlers["message"](*args)
        except Exception:
            self.logger.exception("message handler failed")


class OrderedClient(socketio.Client):
    def _engineio_client_class(self):
        return OrderedEngine


async def _make(client, **options):
    return client(**options)


def _take(inbox, what, wait_s=WAIT_S):
    try:
        return inbox.get(timeout=wait_s)
    except queue.Empty:
        raise AssertionError(f"no {what} within {wait_s} s") from None


_loop = asyncio.new_event_loop()
threading.Thread(target=_loop.run_forever, daemon=True).start()


def _run(coroutine):
    """Runs it on the loop that all asyncio clients share."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop).result(4 * WAIT_S)
