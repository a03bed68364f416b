"""python-socketio as two users at the program `roomcast`: the library that Open WebUI itself is built on."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import socketio
from app import App, token_of
from server import WAIT_S

FENCE = {"channel_id": "-", "data": {"type": "fence"}}
BOB = {"id": "bob", "name": "Bob", "role": "user"}


@pytest.fixture
def app(tmp_path):
    running = App(tmp_path)
    yield running
    running.stop()


class Browser:
    """One client. All that it receives waits in a queue; a call is answered with its data."""

    def __init__(self, url, transport):
        self.client = socketio.AsyncClient(reconnection=False, handle_sigint=False)
        self.inbox = asyncio.Queue()
        self.url, self.transport = url, transport

    async def join(self, user):
        self.client.on("*", self._keep)
        await self.client.connect(
            self.url,
            socketio_path="/ws/socket.io",
            transports=[self.transport],
            auth={"token": token_of(user)},
            wait_timeout=WAIT_S,
        )
        joined = await self.call("user-join", {"auth": {"token": token_of(user)}})
        assert joined["id"] == user
        return self

    async def call(self, event, data):
        return await self.client.call(event, data, timeout=WAIT_S)

    async def next(self):
        return await asyncio.wait_for(self.inbox.get(), WAIT_S)

    async def heard_nothing(self):
        await self.call("events:channel", FENCE)
        assert self.inbox.empty(), self.inbox.get_nowait()

    async def _keep(self, event, data):
        self.inbox.put_nowait((event, data))
        return data


def typing(channel):
    return {"channel_id": channel, "message_id": None, "data": {"type": "typing", "data": {"typing": True}}}


def with_two(app, transport, talk):
    async def run():
        alice, bob = Browser(app.url, transport), Browser(app.url, transport)
        try:
            await talk(await alice.join("alice"), await bob.join("bob"))
        finally:
            await alice.client.disconnect()
            await bob.client.disconnect()

    asyncio.run(run())


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_typing_and_messages(app, transport):
    async def talk(alice, bob):
        await bob.client.emit("events:channel", typing("town"))
        told = ("events:channel", {**typing("town"), "user": BOB})
        assert await alice.next() == told
        assert await bob.next() == told
        message = {"channel_id": "pair", "message_id": "m", "data": {"type": "message", "data": {"content": "é"}}}
        body = {"to": {"room": "channel:pair"}, "event": "events:channel", "data": message}
        assert app.api("emit", **body) == (200, {"status": "sent"})
        assert await alice.next() == ("events:channel", message)
        assert await bob.next() == ("events:channel", message)

    with_two(app, transport, talk)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_calls(app, transport):
    async def talk(alice, bob):
        loop, pool = asyncio.get_running_loop(), ThreadPoolExecutor(1)

        async def call(user):
            to = {"session": alice.client.get_sid(), "user": user}
            body = {"to": to, "event": "events", "data": {"data": {"type": "execute"}}}
            return await loop.run_in_executor(pool, lambda: app.api("call", **body))

        assert await call("alice") == (200, {"data": [{"data": {"type": "execute"}}]})
        assert (await call("bob"))[0] == 403
        assert await alice.next() == ("events", {"data": {"type": "execute"}})
        await alice.heard_nothing()
        await bob.heard_nothing()

    with_two(app, transport, talk)


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_refusals_and_revocation(app, transport):
    async def talk(alice, bob):
        # Bob is no member of the group's channel and has no right to the note: no reason is given, as in the original.
        assert await bob.call("events:channel", typing("team")) is None
        assert await bob.call("join-note", {"note_id": "diary", "auth": {"token": token_of("bob")}}) is None
        app.api("emit", to={"room": "note:diary"}, event="note-events", data={})
        await alice.heard_nothing()
        await bob.heard_nothing()
        assert app.api("revoke", jti="of-bob") == (200, {"sockets": 1})
        assert await bob.call("user-join", {"auth": {"token": token_of("bob")}}) is None
        assert await bob.call("join-channels", {"auth": {"token": token_of("bob")}}) is None
        app.api("emit", to={"user": "bob"}, event="events", data={})
        await bob.heard_nothing()
        assert bob.client.connected
        fresh = token_of("bob", jti="another")
        assert await bob.call("user-join", {"auth": {"token": fresh}}) == {"id": "bob", "name": "Bob"}

    with_two(app, transport, talk)
