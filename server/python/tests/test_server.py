"""The server of ``socketio``'s interface, with a real roomcast and real clients."""

import asyncio
import threading
import uuid

import pytest
import socketio

from conftest import until
from roomcast_openwebui.server import RoomcastServer, call_owner
from roomcast_openwebui.settings import Settings


def test_an_emit_reaches_rooms_sessions_and_all(world):
    async def play():
        async with world:
            ada, tab, ben = [await world.browser(user) for user in ("ada", "ada", "ben")]
            sio = await world.server()
            await sio.emit("a", {"x": 1}, room="user:ada")
            assert await ada.next() == await tab.next() == ("a", {"x": 1})
            await sio.emit("b", None, to=ada.sid)
            await sio.emit("c", ("two", ["args"]), room=["user:ada", "channel:lobby"], skip_sid=tab.sid)
            await sio.emit("d", {"bytes": b"\x00\xff"})
            assert [await ada.next() for _ in range(3)] == [("b",), ("c", "two", ["args"]), ("d", {"bytes": b"\x00\xff"})]
            assert await tab.next() == ("d", {"bytes": b"\x00\xff"})
            assert [await ben.next() for _ in range(2)] == [("c", "two", ["args"]), ("d", {"bytes": b"\x00\xff"})]

    asyncio.run(play())


def test_emits_arrive_once_and_in_order_from_any_thread_and_loop(world):
    async def play():
        async with world:
            ada = await world.browser("ada")
            sio = await world.server()
            for number in range(5000):
                await sio.emit("n", number, room="user:ada")
            assert [(await ada.next())[1] for _ in range(5000)] == list(range(5000))
            # As a plugin does that runs in a thread.
            thread = threading.Thread(target=lambda: asyncio.run(sio.emit("thread", 1, room="user:ada")))
            thread.start()
            assert await ada.next() == ("thread", 1)
            thread.join()

    asyncio.run(play())


def test_data_are_as_they_were_at_the_call_and_nan_is_null(world):
    async def play():
        async with world:
            ada = await world.browser("ada")
            sio = await world.server()
            data = {"n": float("nan"), "list": [float("inf"), 1.5]}
            await sio.emit("x", data, room="user:ada")
            data["n"] = 2
            assert await ada.next() == ("x", {"n": None, "list": [None, 1.5]})
            with pytest.raises(TypeError):
                await sio.emit("x", object(), room="user:ada")
            with pytest.raises(ValueError):
                await sio.emit("disconnect", {}, room="user:ada")

    asyncio.run(play())


def test_a_call_returns_the_ack_and_fails_at_once_without_a_session(world):
    # Item 19 of the protocol's 2.5: this process has no client of its own.
    async def play():
        async with world:
            ada = await world.browser("ada")
            sio = await world.server()
            ada.answer = lambda event, data: {"got": data}
            assert await sio.call("ask", 7, to=ada.sid) == {"got": 7}
            ada.answer = lambda event, data: ("two", b"\x01")
            assert await sio.call("ask", 7, to=ada.sid) == ("two", b"\x01")
            ada.answer = lambda event, data: None
            assert await sio.call("ask", 7, to=ada.sid) is None
            for sid in ("no-such-session", "x" * 20):
                with pytest.raises(socketio.exceptions.TimeoutError):
                    await asyncio.wait_for(sio.call("ask", 7, to=sid), 10)
            # The session of another user than the one that the call is for.
            token = call_owner.set("ben")
            with pytest.raises(socketio.exceptions.TimeoutError):
                await asyncio.wait_for(sio.call("ask", 7, to=ada.sid), 10)
            call_owner.reset(token)
            # An emit is not held up by a call that waits.
            ben = await world.browser("ben")
            silent = asyncio.Event()
            ada.client.on("silent", lambda data: silent.wait())

            async def wait(data):
                await silent.wait()

            ada.client.on("silent", wait)
            calling = asyncio.create_task(sio.call("silent", 1, to=ada.sid))
            await sio.emit("on", 1, room="user:ben")
            assert await ben.next() == ("on", 1)
            silent.set()
            assert await calling is None

    asyncio.run(play())


def test_what_is_asked_before_the_first_connection_waits_for_it(world):
    async def play():
        async with world:
            ada = await world.browser("ada")
            sio = RoomcastServer(world.roomcast.settings(read_timeout=10.0), async_mode="asgi")
            world.servers.append(sio)
            ada.answer = lambda *_: "here"
            assert await sio.call("ask", 1, to=ada.sid) == "here"
            # And where there is no roomcast it fails at once.
            lost = RoomcastServer(Settings(url="http://127.0.0.1:9", api_key="k"), async_mode="asgi")
            world.servers.append(lost)
            with pytest.raises(socketio.exceptions.TimeoutError):
                await asyncio.wait_for(lost.call("ask", 1, to=ada.sid), 10)

    asyncio.run(play())


def test_rooms_participants_and_sessions(world):
    async def play():
        async with world:
            ada, tab, ben = [await world.browser(user) for user in ("ada", "ada", "ben")]
            anonymous = await world.browser()
            sio = await world.server()
            # Asked behind what was said before.
            await sio.enter_room(ada.sid, "plugin:1")
            await sio.enter_room(ben.sid, "plugin:1")
            await sio.enter_room(anonymous.sid, "plugin:1")
            names = {sid for sid, _ in sio.manager.get_participants("/", "plugin:1")}
            assert names == {ada.sid, ben.sid}, "an anonymous session has no user"
            await sio.emit("x", 1, room="plugin:1")
            assert await ada.next() == await ben.next() == await anonymous.next() == ("x", 1)
            assert "plugin:1" in sio.rooms(ada.sid) and sio.manager.is_connected(ada.sid, "/")
            await sio.leave_room(ada.sid, "plugin:1")
            assert [sid for sid, _ in sio.manager.get_participants(namespace="/", room="plugin:1")] == [ben.sid]
            await sio.close_room("plugin:1")
            assert list(sio.manager.get_participants("/", "plugin:1")) == []
            assert {sid for sid, _ in sio.manager.get_participants("/", "user:ada")} == {ada.sid, tab.sid}
            await sio.disconnect(tab.sid)
            assert {sid for sid, _ in sio.manager.get_participants("/", "user:ada")} == {ada.sid}
            assert not sio.manager.is_connected(tab.sid, "/")

    asyncio.run(play())


def test_a_direct_connection_streams_to_the_process_that_listens(world):
    # Item 18 of the protocol's 2.5.
    async def play():
        async with world:
            ada, ben = await world.browser("ada"), await world.browser("ben")
            sio, other = await world.server(), await world.server()
            event = f"ada:{ada.sid}:{uuid.uuid4()}"
            lines = asyncio.Queue()

            async def listener(sid, data):
                await lines.put((sid, data))

            sio.on(event, listener)
            other.on(f"ada:{ada.sid}:{uuid.uuid4()}", listener)
            # A call behind it finds the listener in place.
            ada.answer = lambda *_: {"status": True}
            assert await sio.call("events", {"data": {"type": "request:chat:completion"}}, to=ada.sid) == {"status": True}
            # Another user's lines are dropped, though the name is right.
            await ben.client.emit(event, "forged")
            for number in range(300):
                await ada.client.emit(event, f"data: {number}")
            await ada.client.emit(event, {"done": True})
            got = [await asyncio.wait_for(lines.get(), 10) for _ in range(301)]
            assert got == [(ada.sid, f"data: {number}") for number in range(300)] + [(ada.sid, {"done": True})]
            # A handler's result is the ack; after it is gone there is none.
            sio.on("plugin", lambda sid, data: {"sum": data + 1})
            assert sio.manager.is_connected(ada.sid, "/")
            assert await ada.client.call("plugin", 1, timeout=10) == {"sum": 2}
            del sio.handlers["/"][event]
            assert event not in sio.handlers["/"] and event not in sio.bridge._listening
            assert lines.empty()

    asyncio.run(play())


def test_events_wait_while_roomcast_is_away_and_arrive_once(world):
    async def play():
        async with world:
            sio = await world.server(settle_seconds=1.0)
            await sio.emit("before", 1, room="user:ada")
            world.roomcast.kill()
            await until(lambda: not sio.bridge.is_connected)
            for number in range(100):
                await sio.emit("n", number, room="user:ada")
            assert list(sio.manager.get_participants("/", "user:ada")) == []
            with pytest.raises(socketio.exceptions.TimeoutError):
                await asyncio.wait_for(sio.call("ask", 1, to="x"), 10)
            world.roomcast.start()
            # The browser comes back later than the process, as browsers do.
            ada = await world.browser("ada")
            got = [await ada.next() for _ in range(100)]
            # What was sent to the process that died may come again, and comes first.
            got = got if got[0][0] == "n" else got[1:] + [await ada.next()]
            assert got == [("n", number) for number in range(100)]
            assert sio.bridge.reconnects == 1 and sio.bridge.dropped == 0
            # And it listens again.
            sio.on("later", lambda sid: "heard")
            assert sio.manager.is_connected(ada.sid, "/")
            assert await ada.client.call("later", timeout=10) == "heard"

    asyncio.run(play())


def test_a_lost_connection_neither_loses_nor_repeats(world):
    async def play():
        async with world:
            ada = await world.browser("ada")
            sio = await world.server()
            for number in range(3000):
                await sio.emit("n", number, room="user:ada")
                if number % 700 == 350:
                    # The transport ends under it, in any state.
                    bridge = sio.bridge
                    bridge._in_loop(lambda: asyncio.ensure_future(bridge._client.eio.disconnect(abort=True)))
                    await asyncio.sleep(0.01)
            assert [(await ada.next())[1] for _ in range(3000)] == list(range(3000))
            assert sio.bridge.reconnects >= 1

    asyncio.run(play())


def test_the_oldest_events_are_dropped_over_the_bound_and_counted(world):
    async def play():
        async with world:
            sio = await world.server(queue_bytes_max=10_000, settle_seconds=0.5)
            world.roomcast.kill()
            await until(lambda: not sio.bridge.is_connected)
            for number in range(1000):
                await sio.emit("n", number, room="user:ada")
            dropped = sio.bridge.dropped
            assert 800 < dropped < 1000
            world.roomcast.start()
            ada = await world.browser("ada")
            got = [(await ada.next())[1] for _ in range(1000 - dropped)]
            assert got == list(range(dropped, 1000))

    asyncio.run(play())


def test_a_large_event_arrives_and_one_over_the_limit_is_dropped(world):
    async def play():
        async with world:
            ada = await world.browser("ada")
            sio = await world.server()
            await sio.emit("large", "x" * (15 << 20), room="channel:lobby")
            await sio.emit("too-large", "x" * (18 << 20), room="user:ada")
            await sio.emit("next", 1, room="user:ada")
            assert len((await ada.next())[1]) == 15 << 20
            assert await ada.next() == ("next", 1)
            assert sio.bridge.dropped == 1

    asyncio.run(play())


def test_a_wrong_key_does_not_connect_and_blocks_nothing(world):
    async def play():
        async with world:
            world.roomcast.key = "not-the-key-of-it"
            sio = RoomcastServer(world.roomcast.settings(), async_mode="asgi")
            await sio.emit("x", 1, room="user:ada")
            assert list(sio.manager.get_participants("/", "user:ada")) == []
            await asyncio.sleep(0.5)
            assert not sio.bridge.is_connected and sio.bridge.waiting == 1
            await asyncio.to_thread(sio.bridge.close)

    asyncio.run(play())


def test_a_browser_that_comes_here_is_told_where_to_go(world):
    async def play():
        sio_app = socketio.ASGIApp((await world.server()), socketio_path="/ws/socket.io")
        sent = []

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            sent.append(message)

        await sio_app({"type": "http", "path": "/ws/socket.io/", "method": "GET"}, receive, send)
        assert sent[0]["status"] == 503 and b"roomcast" in sent[1]["body"]
        await sio_app({"type": "websocket", "path": "/ws/socket.io/"}, receive, send)
        assert sent[2]["type"] == "websocket.close"
        await asyncio.to_thread(world.servers[0].bridge.close)

    asyncio.run(play())
