"""Two roomcast nodes and a python-socketio server of each version on one Redis.

check.py NODE_COMMAND REDIS_URL VERSION=PYTHON...

Clients are real ones. That something does not arrive is shown by what is sent after it: a publisher's messages stay in
order.
"""
import asyncio
import os
import socket
import subprocess
import sys

import aiohttp
import socketio

END = "end of the step"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """A server that says when it is ready."""

    def __init__(self, command, ready, **environment):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )
        for line in self.process.stdout:
            if ready in line:
                return
        raise AssertionError(f"{command} ended")

    def end(self):
        self.process.kill()
        self.process.wait()


class Client:
    """A client that keeps what it gets."""

    def __init__(self):
        self.sio = socketio.AsyncClient(reconnection=False)
        self.got = asyncio.Queue()
        self.answer = None
        self.gone = asyncio.Event()
        self.sio.on("*", self.take)
        self.sio.on("disconnect", lambda *_: self.gone.set())

    async def take(self, event, *args):
        if event in ("ask", "question") and self.answer is not None:
            return self.answer
        if event != "auth":
            await self.got.put((event, args))

    async def connect(self, port):
        await self.sio.connect(f"http://127.0.0.1:{port}", transports=["websocket"])
        return self

    @property
    def sid(self):
        return self.sio.get_sid("/")

    async def expect(self, *expected):
        for event, *args in expected:
            found = await asyncio.wait_for(self.got.get(), 20)
            assert found == (event, tuple(args)), f"{found} instead of {(event, tuple(args))}"


class Peer:
    """The python-socketio server."""

    def __init__(self, python, redis_url, http):
        self.port = free_port()
        here = os.path.dirname(os.path.abspath(__file__))
        self.process = Process([python, os.path.join(here, "peer.py"), str(self.port), redis_url], "ready")
        self.http = http

    async def do(self, op, *args, **kwargs):
        body = {"op": op, "args": args, "kwargs": kwargs}
        async with self.http.post(f"http://127.0.0.1:{self.port}/control", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return (await answer.json())["result"]


def blob(data):
    return {"$bytes": data.hex()}


async def python_to_roomcast(peer, a, b, c):
    """Emits of Python reach clients of all nodes, as Python's own."""
    everybody = (a, b, c)
    for sent, got in [
        ({"a": 1, "ä": [None, True]}, [{"a": 1, "ä": [None, True]}]),
        ("text", ["text"]),
        (7, [7]),
        ({"$tuple": [1, "two", {"three": 3}]}, [1, "two", {"three": 3}]),
        ({"x": blob(b"\x00\xff"), "y": [blob(b"z" * 5000)]}, [{"x": b"\x00\xff", "y": [b"z" * 5000]}]),
        (blob(b"alone"), [b"alone"]),
    ]:
        await peer.do("emit", "data", sent, room="hall")
        for client in everybody:
            await client.expect(("data", *got))
    await peer.do("emit", "skipping", 1, room="hall", skip_sid=a.sid)
    await peer.do("emit", "rooms", 2, room=["hall", "other", a.sid])
    await peer.do("emit", "all", 3)
    await a.expect(("rooms", 2), ("all", 3))
    await b.expect(("skipping", 1), ("rooms", 2), ("all", 3))
    await c.expect(("skipping", 1), ("rooms", 2), ("all", 3))
    await peer.do("emit", "one", 4, to=b.sid)
    await peer.do("emit", "all", END)
    await a.expect(("all", END))
    await b.expect(("one", 4), ("all", END))
    await c.expect(("all", END))


async def python_calls(peer, a, b):
    """`call`, as Open WebUI asks a browser."""
    for client in (a, b):
        client.answer = {"ok": True}
        assert await peer.do("call", "question", {"n": 1}, to=client.sid, timeout=20) == {"ok": True}
        client.answer = ("one", 2)
        assert await peer.do("call", "question", None, to=client.sid, timeout=20) == {"$tuple": ["one", 2]}
        client.answer = None


async def python_moves_sockets(peer, a, b):
    """Rooms and ends of sockets that Python does not have. These messages have no answer: the next emit shows them."""
    for client in (a, b):
        await peer.do("enter_room", client.sid, "late")
    await peer.do("emit", "late", 1, room="late")
    await peer.do("leave_room", a.sid, "late")
    await peer.do("emit", "late", 2, room="late")
    await peer.do("close_room", "late")
    await peer.do("emit", "late", 3, room="late")
    await peer.do("emit", "all", END)
    await a.expect(("late", 1), ("all", END))
    await b.expect(("late", 1), ("late", 2), ("all", END))


async def roomcast_to_python(a, b, c, is_list, has_bytes):
    """Emits of a node reach clients of the other node and of Python.

    Before 5.14.2, python-socketio has no bytes in JSON. Before 5.15.1, it takes a list of arguments for one argument that
    is a list, no matter which of them sends it.
    """

    def of_python(*args):
        return [list(args)] if is_list else args

    for data in ["text", {"a": [1, None]}, None, [1, 2]] + [b"\x01\x02", {"in": b"side"}] * has_bytes:
        await a.sio.emit("room-cast", ("hall", data))
        for client in (a, b):
            await client.expect(("room-event", "hall", data))
        await c.expect(("room-event", *of_python("hall", data)))
    await b.sio.emit("typing", ("hall", "x"))
    await b.sio.emit("room-cast", ("hall", END))
    await a.expect(("typing", "x"), ("room-event", "hall", END))
    await c.expect(("typing", "x"), ("room-event", *of_python("hall", END)))
    await b.expect(("room-event", "hall", END))


async def roomcast_asks_python(a, b, c):
    """Acks of a client that another process has: the answers of one socket, and of a room."""
    for client, answer in ((b, "of roomcast"), (c, "of python")):
        client.answer = answer
        assert await a.sio.call("ask-room", (client.sid, 1), timeout=20) == [[answer]]
        client.answer = None


async def version(name, nodes, python, redis_url, http):
    peer = Peer(python, redis_url, http)
    try:
        a, b, c = [await Client().connect(port) for port in (*nodes, peer.port)]
        for client in (a, b, c):
            assert list(await client.sio.call("join", "hall")) == ["joined", "hall"]
        number = tuple(map(int, name.split(".")))
        await roomcast_to_python(a, b, c, is_list=number < (5, 15, 1), has_bytes=number >= (5, 14, 2))
        if number < (5, 14):
            # What it publishes is pickle, which is never read.
            await peer.do("emit", "data", "a pickle", room="hall")
            await c.expect(("data", "a pickle"))
            await a.sio.emit("broadcast", END)
            for client in (a, b, c):
                await client.expect(("broadcast", END))
        else:
            await roomcast_asks_python(a, b, c)
            await python_to_roomcast(peer, a, b, c)
            await python_calls(peer, a, b)
            await python_moves_sockets(peer, a, b)
            await peer.do("disconnect", b.sid)
            await asyncio.wait_for(b.gone.wait(), 20)
        print(f"python-socketio {name}: ok", flush=True)
        for client in (a, b, c):
            await client.sio.disconnect()
    finally:
        peer.process.end()


async def main():
    server, redis_url, *versions = sys.argv[1:]
    ports, nodes = [], []
    async with aiohttp.ClientSession() as http:
        try:
            for runtime in ("tokio", "smol"):
                port = free_port()
                command = [server, "--runtime", runtime]
                nodes.append(Process(command, "listening on", PORT=str(port), REDIS_URL=redis_url))
                ports.append(port)
            for entry in versions:
                name, python = entry.split("=", 1)
                await version(name, ports, python, redis_url, http)
        finally:
            for node in nodes:
                node.end()


asyncio.run(main())
