#!/usr/bin/env python3
"""Writes the vectors of one python-socketio version: what its Redis manager publishes, and what it makes of our messages.

    python3 -m venv v && v/bin/pip install python-socketio==5.16.2 redis && v/bin/python vectors.py

The file is named after the installed version. No Redis is needed: the manager publishes into a list and listens to another.
`roomcast.json`, which the Rust test writes and compares, holds the messages that are received.
"""

import asyncio
import base64
import importlib.metadata
import json
import pathlib
import pickle

import socketio

HERE = pathlib.Path(__file__).parent
VERSION = importlib.metadata.version("python-socketio")
OWN, OTHER = "a" * 32, "b" * 32
# What clients are called, in the order in which they connect.
SIDS = ["first-socket-AAAAAAA", "second-socket-BBBBBB"]


class Redis:
    """Takes what is published."""

    def __init__(self):
        self.published = []

    async def publish(self, channel, payload):
        payload = payload if isinstance(payload, bytes) else payload.encode()
        self.published.append((channel, payload))


async def server():
    """A server with two clients, in room `red` both, and what is sent to them."""
    manager = socketio.AsyncRedisManager("redis://localhost")
    manager.redis, manager.connected, manager.host_id = Redis(), True, OWN
    # No Redis to listen to.
    manager._thread = lambda: asyncio.sleep(0)
    sio = socketio.AsyncServer(client_manager=manager, async_mode="asgi")
    manager.set_server(sio)
    ids, sent = iter(SIDS), []
    sio.eio.generate_id = lambda: next(ids)

    async def send(eio_sid, data):
        sent.append([eio_sid, data if isinstance(data, str) else {"base64": base64.b64encode(data).decode()}])

    # Emits to many, and packets to one.
    sio._send_eio_packet = lambda eio_sid, packet: send(eio_sid, packet.data)
    sio.eio.send = send
    for eio_sid in ["e1", "e2"]:
        sid = await manager.connect(eio_sid, "/")
        await manager.enter_room(sid, "/", "red")
    return sio, manager, sent


async def received_by(manager, payload):
    """Has the manager hear a message, as its own listener would."""

    async def listen():
        yield payload

    manager._listen = listen
    await type(manager)._thread(manager)


async def published():
    """What each call of the manager publishes, by the call's text."""
    vectors = []

    async def record(name, call):
        sio, manager, _ = await server()
        try:
            await call(sio, manager)
        except Exception as error:
            vectors.append({"call": name, "error": type(error).__name__})
            return
        for channel, payload in manager.redis.published:
            try:
                vectors.append({"call": name, "channel": channel, "payload": payload.decode()})
            except UnicodeDecodeError:
                loaded = pickle.loads(payload)
                vectors.append({"call": name, "channel": channel, "pickle": base64.b64encode(payload).decode(),
                                "method": loaded["method"]})

    async def ignore(*_):
        pass

    for text in [
        '"text"', '1', '1.5', 'True', 'None', '{}', '{"a": [1, {"b": None}], "é😀": "\\n\\"/"}', '[]', '[7]', '[1, 2]',
        '()', '(1,)', '(1, "two", [3])', '(None,)', 'b"\\x00\\xff"', '{"file": b"abc", "more": [b""]}', '(b"a", 1, b"b")',
        '[b"a"]',
    ]:
        data = eval(text)  # noqa: S307 - the texts are above
        await record(f"emit('event', {text}, room='red')", lambda _, m, data=data: m.emit("event", data, room="red"))
    for text in [
        "room=None", "room=['red', 'blue']", "room='r\\u00e9d \"1\"'", "room='red', skip_sid='x'",
        "room='red', skip_sid=['x', 'y']", "room='red', namespace='/admin'", "room=[]", f"room='{SIDS[0]}'",
        "room='red', callback=ignore", "room='red', callback=ignore, namespace='/admin'",
    ]:
        keywords = eval(f"dict({text})", {"ignore": ignore})  # noqa: S307
        await record(f"emit('event', 1, {text})", lambda _, m, k=keywords: m.emit("event", 1, **k))
    await record("emit('event', 1, room='remote', callback=ignore) twice",
                 lambda _, m: twice(lambda: m.emit("event", 1, room="remote", callback=ignore)))
    await record("disconnect('remote')", lambda s, m: m.can_disconnect("remote", "/"))
    await record("enter_room('remote', 'blue')", lambda _, m: m.enter_room("remote", "/", "blue"))
    await record("leave_room('remote', 'blue')", lambda _, m: m.leave_room("remote", "/", "blue"))
    await record("close_room('blue')", lambda _, m: m.close_room("blue", "/"))
    for text in ['[]', '[1]', '["two", [2], {"a": None}]', '[b"bytes"]']:
        args = eval(text)  # noqa: S307

        async def answer(_, manager, args=args):
            message = {"method": "emit", "event": "ask", "data": [1], "binary": False, "namespace": "/",
                       "room": SIDS[0], "skip_sid": None, "callback": [SIDS[0], "/", 9], "host_id": OTHER}
            await received_by(manager, json.dumps(message).encode())
            await manager.trigger_callback(SIDS[0], 1, args)

        await record(f"ack of another host's emit: {text}", answer)
    return vectors


async def twice(call):
    await call()
    await call()


async def received():
    """What clients get of our messages, or what the process does about them."""
    vectors = []
    for case in json.loads((HERE / "roomcast.json").read_text()):
        sio, manager, sent = await server()
        called = []

        async def callback(*args, called=called):
            called.append(list(args))

        manager._generate_ack_id(SIDS[0], callback)
        await received_by(manager, case["payload"].encode())
        # Tasks that the server starts.
        await asyncio.sleep(0)
        rooms = {sid: sorted(room for room in manager.get_rooms(sid, "/") or [] if room not in (None, sid))
                 for sid in SIDS}
        vectors.append({"name": case["name"], "sent": sent, "rooms": rooms, "called": called,
                        "published": [payload.decode("latin-1") if VERSION == "5.13.0" and payload[:1] == b"\x80"
                                      else payload.decode() for _, payload in manager.redis.published]})
    return vectors


async def main():
    vectors = {"version": VERSION, "published": await published(), "received": await received()}
    path = HERE / f"{VERSION}.json"
    path.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n")
    print(path.name, len(vectors["published"]), "published,", len(vectors["received"]), "received")


asyncio.run(main())
