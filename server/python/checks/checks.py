"""Checks Open WebUI 0.6.41, unchanged, with roomcast in front: every check of the table has to pass.

    python checks.py --roomcast target/debug/roomcast [--only chat] [--keep]

It needs an environment with open-webui, this package, aiohttp and python-socketio. The backend runs on SQLite, with a fake
model; with one process, with two, and with two that have a Redis. See `./test.sh openwebui`.
"""

import argparse
import asyncio
import json
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

import aiohttp

import fake_model
import plugins
from stage import PATIENCE, Stage, User, kind_of, new_id

TABLE = []


def check(area, what):
    """Adds a check to the table."""

    def add(function):
        TABLE.append((area, what, function))
        return function

    return add


class Cast:
    """Admin, Bob and Carol; each check gets them signed in and without browsers."""

    def __init__(self, stage, model):
        self.stage, self.model = stage, model

    async def enter(self):
        self.admin = await User(self.stage, "admin").sign("signup")
        self.bob = await User(self.stage, "bob").sign("add", self.admin.headers)
        self.carol = await User(self.stage, "carol").sign("add", self.admin.headers)
        for user in self.all:
            # As their browsers would: `auths/add` gives no token of the user's own.
            await self.sign_in(user)
        form = {"id": "events", "name": "events", "content": plugins.EVENTS, "meta": {"description": "-"}}
        await self.admin.ask("POST", "/api/v1/functions/create", form)
        await self.admin.ask("POST", "/api/v1/functions/id/events/toggle")
        for user in self.all:
            ui = {"notifications": {"webhook_url": f"{self.model.url}/hook/{user.name}"}}
            # Or a page begins with what is new in it.
            ui["version"] = (await user.ask("GET", "/api/version"))["version"]
            await user.ask("POST", "/api/v1/users/user/settings/update", {"ui": ui})

    async def sign_in(self, user):
        form = {"email": f"{user.name}@example.org", "password": "a-password-1"}
        async with user.http.post(f"{self.stage.backend_url}/api/v1/auths/signin", json=form) as response:
            found = await response.json()
        user.token, user.id = found["token"], found["id"]
        user.headers = {"authorization": f"Bearer {user.token}"}

    @property
    def all(self):
        return [self.admin, self.bob, self.carol]

    async def close(self):
        for user in self.all:
            await user.close()


class Chat:
    """A chat of a user as the front end makes one: the messages are stored first, then the model is asked."""

    def __init__(self, user, browser):
        self.user, self.browser = user, browser
        self.messages = {}
        self.id = self.message = None

    async def ask(self, text, model="fake", **more):
        question, self.message = new_id(), new_id()
        self.messages[question] = {
            "id": question, "parentId": None, "childrenIds": [self.message], "role": "user", "content": text
        }
        self.messages[self.message] = {
            "id": self.message, "parentId": question, "childrenIds": [], "role": "assistant", "content": "", "model": model
        }
        chat = {
            "title": "New Chat",
            "models": [model],
            "history": {"messages": self.messages, "currentId": self.message},
            "messages": list(self.messages.values()),
        }
        if self.id is None:
            self.id = (await self.user.ask("POST", "/api/v1/chats/new", {"chat": chat}))["id"]
        else:
            await self.user.ask("POST", f"/api/v1/chats/{self.id}", {"chat": chat})
        form = {
            "stream": True,
            "model": model,
            "messages": [{"role": "user", "content": text}],
            "params": {},
            "features": {},
            "session_id": self.browser.sid,
            "chat_id": self.id,
            "id": self.message,
            **more,
        }
        return await self.user.ask("POST", "/api/chat/completions", form)

    async def done(self, browser=None, seconds=PATIENCE):
        """The last event of the answer."""

        def is_done(name, data):
            return (
                name == "events"
                and data["message_id"] == self.message
                and kind_of(data) == "chat:completion"
                and data["data"]["data"].get("done")
            )

        return await (browser or self.browser).wait(is_done, seconds)

    async def stored(self):
        """The answer as the database has it."""
        chat = await self.user.ask("GET", f"/api/v1/chats/{self.id}")
        return chat["chat"]["history"]["messages"][self.message]

    async def stored_as(self, matches):
        """The same, once it is so: the backend writes a moment after it has emitted."""
        for _ in range(50):
            message = await self.stored()
            if matches(message):
                return message
            await asyncio.sleep(0.1)
        raise AssertionError(f"stored: {message}")


def texts(browser, chat):
    """What the front end shows of an answer over time."""
    found = [data["data"]["data"] for data in browser.all_of("chat:completion") if data["message_id"] == chat.message]
    return [data["content"] for data in found if "content" in data]


def words(count):
    return " ".join(f"w{number}" for number in range(count))


# ---------------------------------------------------------------------------------------------------------- chat


@check("chat", "an answer streams to every tab of its user, in order and whole, and to no one else")
async def streams(cast):
    tab, other, stranger = await cast.bob.browser(), await cast.bob.browser(), await cast.carol.browser()
    chat = Chat(cast.bob, tab)
    await chat.ask("say 200")
    await chat.done(), await chat.done(other)
    for browser in (tab, other):
        seen = texts(browser, chat)
        assert len(seen) >= 10 and seen[-1] == words(200), (len(seen), seen[-1:])
        assert all(words(200).startswith(text.strip()) for text in seen), "each is a beginning of the whole"
        assert [len(text) for text in seen] == sorted(len(text) for text in seen), "in order"
    assert stranger.all_of("chat:completion") == []
    stored = await chat.stored_as(lambda message: message.get("done") or message["content"] == words(200))
    assert stored["content"] == words(200)


@check("chat", "a title that the model finds is told and stored")
async def title(cast):
    tab = await cast.bob.browser()
    chat = Chat(cast.bob, tab)
    await chat.ask("say 3", background_tasks={"title_generation": True})
    told = await tab.of_kind("chat:title")
    assert told["data"]["data"] == "A title", told
    assert (await cast.bob.ask("GET", f"/api/v1/chats/{chat.id}"))["title"] == "A title"


@check("chat", "an answer is stopped, and that is told")
async def stopped(cast):
    tab = await cast.bob.browser()
    chat = Chat(cast.bob, tab)
    asked = await chat.ask("slow 600")
    await tab.of_kind("chat:completion")
    await cast.bob.ask("POST", f"/api/tasks/stop/{asked['task_id']}")
    await tab.of_kind("chat:tasks:cancel")


@check("chat", "ten answers at once to ten tabs, none mixed up")
async def many(cast):
    tabs = [await cast.bob.browser() for _ in range(10)]
    chats = [Chat(cast.bob, tab) for tab in tabs]
    await asyncio.gather(*(chat.ask("say 100") for chat in chats))
    for chat in chats:
        await chat.done()
        assert texts(chat.browser, chat)[-1] == words(100)


# ------------------------------------------------------------------------------------------------------- plugins


async def plugin(cast, what, prepare=None):
    tab = await cast.bob.browser()
    if prepare:
        prepare(tab)
    chat = Chat(cast.bob, tab)
    await chat.ask(what, "events")
    await chat.done(seconds=90)
    return tab, chat


@check("status", "five statuses arrive in order, and five are stored")
async def statuses(cast):
    tab, chat = await plugin(cast, "statuses")
    told = [data["data"]["data"]["description"] for data in tab.all_of("status")]
    assert told == [f"step {number}" for number in range(5)], told
    await asyncio.sleep(1)
    history = (await chat.stored())["statusHistory"]
    assert [status["description"] for status in history] == told, history


@check("status", "content by `message` is stored once")
async def contents(cast):
    tab, chat = await plugin(cast, "contents")
    assert [data["data"]["data"]["content"] for data in tab.all_of("message")] == ["A", "hello"]
    await asyncio.sleep(1)
    # The end of an answer overwrites what was emitted: here with an empty one.
    assert (await chat.stored())["content"] in ("Ahello", ""), await chat.stored()


@check("status", "content by `replace` is told and stored")
async def replaced(cast):
    tab, chat = await plugin(cast, "replaced")
    assert tab.all_of("replace")[0]["data"]["data"]["content"] == "replaced"
    await chat.stored_as(lambda message: message["content"] == "replaced")


@check("status", "notifications and files are told")
async def others(cast):
    tab, _ = await plugin(cast, "notification")
    assert len(tab.all_of("notification")) == 1
    tab, chat = await plugin(cast, "files")
    assert len(tab.all_of("files")) == 1
    await asyncio.sleep(1)
    assert len((await chat.stored())["files"]) == 1, await chat.stored()


@check("status", "a plugin emits from a thread with an event loop of its own")
async def thread(cast):
    tab, _ = await plugin(cast, "thread")
    assert tab.all_of("status")[0]["data"]["data"]["description"] == "thread"


@check("citations", "two citations arrive, and two are stored")
async def citations(cast):
    tab, chat = await plugin(cast, "citations")
    assert len(tab.all_of("citation")) == 2
    await asyncio.sleep(1)
    assert len((await chat.stored())["sources"]) == 2, await chat.stored()


@check("calls", "an input is asked of the tab that asked, and its answer comes back")
async def asked(cast):
    other = await cast.bob.browser()

    def prepare(tab):
        async def answer(data):
            return "forty-two"

        tab.answers["input"] = answer

    tab, chat = await plugin(cast, "input", prepare)
    assert texts(tab, chat)[-1] == "answer: 'forty-two'", texts(tab, chat)
    assert len(tab.all_of("input")) == 1 and other.all_of("input") == []


@check("calls", "a confirmation that is refused, and code with a structured result")
async def confirmed(cast):
    def prepare(tab):
        async def answer(data):
            return False if kind_of(data) == "confirmation" else {"result": [1, None, "ü"]}

        tab.answers["confirmation"] = tab.answers["execute"] = answer

    tab, chat = await plugin(cast, "confirmation", prepare)
    assert texts(tab, chat)[-1] == "answer: False"
    tab, chat = await plugin(cast, "execute", prepare)
    assert texts(tab, chat)[-1] == "answer: {'result': [1, None, 'ü']}"


@check("calls", "a call to a tab that closes meanwhile fails at once, not after a minute")
async def closed(cast):
    witness, tab = await cast.bob.browser(), await cast.bob.browser()

    async def never(data):
        asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(tab.client.disconnect()))
        await asyncio.sleep(3600)

    tab.answers["input"] = never
    chat = Chat(cast.bob, tab)
    await chat.ask("input", "events")
    await chat.done(witness, 20)
    text = texts(witness, chat)[-1]
    assert text.startswith("failed: TimeoutError after") and int(text.split()[-2]) <= 2, text


@check("calls", "a call does not reach another user's tab, whatever session was named")
async def foreign(cast):
    bob, carol = await cast.bob.browser(), await cast.carol.browser()
    chat = Chat(cast.bob, bob)

    class Named:
        sid = carol.sid

    chat.browser = Named
    await chat.ask("input", "events")
    await chat.done(bob)
    assert texts(bob, chat)[-1].startswith("failed: TimeoutError"), texts(bob, chat)
    assert carol.all_of("input") == []


# ------------------------------------------------------------------------------------------------------ channels


async def channel(cast, name, user=None, **form):
    user = user or cast.admin
    return await user.ask("POST", "/api/v1/channels/create", {"name": name, **form})


async def post(user, where, text, status=200, **more):
    form = {"content": text, "temp_id": new_id(), "data": {}, "meta": {}, **more}
    return await user.ask("POST", f"/api/v1/channels/{where['id']}/messages/post", form, status)


async def told(browser, kind, message):
    """An event about a message of a channel."""

    def matches(name, data):
        return name == "events:channel" and kind_of(data) == kind and data["message_id"] == message["id"]

    return await browser.wait(matches)


@check("channels", "a message reaches all who are in the channel, its author too")
async def channel_message(cast):
    where = await channel(cast, "general")
    browsers = [await user.browser() for user in cast.all]
    sent = await post(cast.bob, where, "hello")
    for browser in browsers:
        data = await told(browser, "message", sent)
        assert data["data"]["data"]["content"] == "hello" and data["user"]["id"] == cast.bob.id
        assert data["channel"]["id"] == where["id"] and data["channel_id"] == where["id"]


@check("channels", "a channel that is made while browsers are there is theirs without a reconnect")
async def channel_made(cast):
    admin, bob = await cast.admin.browser(), await cast.bob.browser()
    where = await channel(cast, "later", type="group", user_ids=[cast.bob.id])
    for browser in (admin, bob):
        await browser.of_kind("channel:created", "events:channel")
    sent = await post(cast.admin, where, "first")
    await told(bob, "message", sent)


@check("channels", "a reply in a thread tells the reply and its parent")
async def thread_reply(cast):
    where = await channel(cast, "threads")
    bob, carol = await cast.bob.browser(), await cast.carol.browser()
    parent = await post(cast.bob, where, "parent")
    reply = await post(cast.carol, where, "reply", parent_id=parent["id"])
    for browser in (bob, carol):
        data = await told(browser, "message", reply)
        assert data["data"]["data"]["parent_id"] == parent["id"]
        data = await told(browser, "message:reply", parent)
        assert data["data"]["data"]["reply_count"] == 1


@check("channels", "reactions, changes and deletions are told")
async def reactions(cast):
    where = await channel(cast, "reactions")
    bob, carol = await cast.bob.browser(), await cast.carol.browser()
    sent = await post(cast.bob, where, "text")
    path = f"/api/v1/channels/{where['id']}/messages/{sent['id']}"
    await cast.carol.ask("POST", f"{path}/reactions/add", {"name": "thumbsup"})
    data = await told(bob, "message:reaction:add", sent)
    assert data["data"]["data"]["name"] == "thumbsup" and data["user"]["id"] == cast.carol.id
    await cast.carol.ask("POST", f"{path}/reactions/remove", {"name": "thumbsup"})
    await told(bob, "message:reaction:remove", sent)
    await cast.bob.ask("POST", f"{path}/update", {"content": "changed"})
    assert (await told(carol, "message:update", sent))["data"]["data"]["content"] == "changed"
    await cast.bob.ask("DELETE", f"{path}/delete")
    await told(carol, "message:delete", sent)


@check("channels", "a model that is mentioned answers in the thread")
async def mention(cast):
    where = await channel(cast, "models")
    carol = await cast.carol.browser()
    await post(cast.bob, where, "<@M:fake|fake> say something")

    def is_answer(name, data):
        kind = name == "events:channel" and kind_of(data)
        return kind == "message:update" and data["data"]["data"]["content"].startswith("echo:")

    await carol.wait(is_answer)


@check("channels", "typing is told, and last read is stored")
async def typing(cast):
    where = await channel(cast, "typing", cast.bob, type="group", user_ids=[cast.carol.id])
    bob, carol = await cast.bob.browser(), await cast.carol.browser()
    data = {"channel_id": where["id"], "message_id": None, "data": {"type": "typing", "data": {"typing": True}}}
    await bob.emit("events:channel", data)
    seen = await carol.of_kind("typing", "events:channel")
    assert seen["user"]["id"] == cast.bob.id and seen["message_id"] is None

    async def unread():
        channels = await cast.carol.ask("GET", "/api/v1/channels/")
        return next(item for item in channels if item["id"] == where["id"])["unread_count"]

    await post(cast.bob, where, "unread")
    assert await unread() == 1
    await carol.emit("events:channel", {**data, "data": {"type": "last_read_at"}})
    for _ in range(50):
        if await unread() == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("still unread")


@check("dms", "a new direct message reaches the other side without a reconnect")
async def dm(cast):
    bob, carol, admin = [await user.browser() for user in (cast.bob, cast.carol, cast.admin)]
    where = await cast.bob.ask("GET", f"/api/v1/channels/users/{cast.carol.id}")
    await carol.of_kind("channel:created", "events:channel")
    sent = await post(cast.bob, where, "psst")
    await told(carol, "message", sent), await told(bob, "message", sent)
    answer = await post(cast.carol, where, "yes?")
    await told(bob, "message", answer)
    assert admin.all_of("message", "events:channel") == []


@check("dms", "one that was hidden is open again at the next message")
async def hidden(cast):
    where = await cast.bob.ask("GET", f"/api/v1/channels/users/{cast.admin.id}")
    await cast.admin.ask("POST", f"/api/v1/channels/{where['id']}/members/active", {"is_active": False})
    admin, bob = await cast.admin.browser(), await cast.bob.browser()
    await cast.bob.ask("GET", f"/api/v1/channels/users/{cast.admin.id}")
    sent = await post(cast.bob, where, "again")
    await told(admin, "message", sent), await told(bob, "message", sent)


@check("groups", "a group's messages reach its members alone")
async def group(cast):
    admin, bob, carol = [await user.browser() for user in cast.all]
    where = await channel(cast, "two of three", cast.bob, type="group", user_ids=[cast.carol.id])
    await carol.of_kind("channel:created", "events:channel")
    sent = await post(cast.bob, where, "secret")
    await told(carol, "message", sent)
    assert admin.all_of("message", "events:channel") == [] and admin.all_of("channel:created", "events:channel") == []
    await post(cast.admin, where, "let me in", status=403)


# -------------------------------------------------------------------------------------------------------- notes


@check("notes", "a note that is changed over HTTP is told to those who may read it")
async def note(cast):
    form = {"title": "plan", "data": {"content": {"json": None, "html": "", "md": "text"}}, "access_control": None}
    made = await cast.bob.ask("POST", "/api/v1/notes/create", form)
    private = await cast.bob.ask("POST", "/api/v1/notes/create", {**form, "title": "own", "access_control": {}})
    bob, carol = await cast.bob.browser(), await cast.carol.browser()
    for browser, user in ((bob, cast.bob), (carol, cast.carol)):
        for which in (made, private):
            await browser.client.call("join-note", {"note_id": which["id"], "auth": {"token": user.token}})
    await cast.bob.ask("POST", f"/api/v1/notes/{private['id']}/update", {**form, "title": "still own", "access_control": {}})
    await cast.bob.ask("POST", f"/api/v1/notes/{made['id']}/update", {**form, "title": "new plan"})
    seen = await carol.wait(lambda name, data: name == "note-events")
    assert (seen["id"], seen["title"]) == (made["id"], "new plan")
    await bob.wait(lambda name, data: name == "note-events" and data["title"] == "still own")


@check("notes", "two edit one note, and the backend has the text")
async def editing(cast):
    import pycrdt

    form = {"title": "shared", "data": {"content": {"json": None, "html": "", "md": ""}}, "access_control": None}
    made = await cast.bob.ask("POST", "/api/v1/notes/create", form)
    admin, bob = await cast.admin.browser(), await cast.bob.browser()
    document = f"note:{made['id']}"
    for browser, user in ((bob, cast.bob), (admin, cast.admin)):
        await browser.emit("ydoc:document:join", {"document_id": document, "user_id": user.id, "user_name": user.name})
        await browser.wait(lambda name, data: name == "ydoc:document:state")
    mine = pycrdt.Doc()
    mine["text"] = pycrdt.Text("typed")
    content = {"md": "typed", "html": "<p>typed</p>", "json": None}
    update = {
        "document_id": document,
        "user_id": cast.bob.id,
        "socket_id": bob.sid,
        "update": list(mine.get_update()),
        "data": {"content": content},
    }
    await bob.emit("ydoc:document:update", update)
    seen = await admin.wait(lambda name, data: name == "ydoc:document:update")
    theirs = pycrdt.Doc()
    theirs["text"] = pycrdt.Text()
    theirs.apply_update(bytes(seen["update"]))
    assert str(theirs["text"]) == "typed"
    for _ in range(50):
        stored = await cast.bob.ask("GET", f"/api/v1/notes/{made['id']}")
        if stored["data"]["content"]["md"] == "typed":
            return
        await asyncio.sleep(0.1)
    raise AssertionError(stored)


# -------------------------------------------------------------------------------------------------------- usage


@check("usage", "models in use are told by the backend, and forgotten")
async def usage(cast):
    bob = await cast.bob.browser()
    await bob.client.call("usage", {"action": "chat", "model": "fake", "chat_id": new_id()})
    assert (await cast.bob.ask("GET", "/api/usage"))["model_ids"] == ["fake"]
    for _ in range(80):
        if (await cast.bob.ask("GET", "/api/usage"))["model_ids"] == []:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("still in use after 8 s")


@check("usage", "users with a heartbeat are active")
async def active(cast):
    carol = await cast.carol.browser()
    await carol.client.call("heartbeat", {})
    for _ in range(50):
        active = await cast.bob.ask("GET", f"/api/v1/users/{cast.carol.id}/active")
        if active["active"]:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(active)


# ------------------------------------------------------------------------------------------- direct connections


def direct(tab, text, fail=None):
    """The front end's part: it asks the model itself, and streams the lines to the backend."""

    async def complete(data):
        request = data["data"]["data"]
        assert request["session_id"] == tab.sid

        async def stream():
            for line in fake_model.lines(text):
                await tab.emit(request["channel"], line)
            await tab.emit(request["channel"], {"done": True})

        if fail:
            return {"status": False, "detail": fail}
        if request["form_data"].get("stream"):
            asyncio.ensure_future(stream())
            return {"status": True}
        message = {"role": "assistant", "content": text}
        return {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}

    tab.answers["request:chat:completion"] = complete


DIRECT = {"id": "own.model", "name": "own", "object": "model", "owned_by": "openai", "direct": True, "urlIdx": 0}


@check("direct", "a direct connection streams through the browser, whole and stored")
async def direct_stream(cast):
    tab, other = await cast.bob.browser(), await cast.bob.browser()
    direct(tab, words(300))
    chat = Chat(cast.bob, tab)
    await chat.ask("anything", DIRECT["id"], model_item=DIRECT)
    await chat.done()
    assert texts(tab, chat)[-1] == words(300)
    assert len(tab.all_of("request:chat:completion")) == 1 and other.all_of("request:chat:completion") == []
    await chat.stored_as(lambda message: message["content"] == words(300))


@check("direct", "five at once are not mixed up")
async def direct_many(cast):
    tabs = [await cast.bob.browser() for _ in range(5)]
    chats = []
    for number, tab in enumerate(tabs):
        direct(tab, f"{number} " * 50)
        chats.append(Chat(cast.bob, tab))
    await asyncio.gather(*(chat.ask("anything", DIRECT["id"], model_item=DIRECT) for chat in chats))
    for number, chat in enumerate(chats):
        await chat.done()
        assert texts(chat.browser, chat)[-1].split() == [str(number)] * 50


@check("direct", "an answer in one piece, and a failure that is told")
async def direct_whole(cast):
    tab = await cast.bob.browser()
    direct(tab, "in one piece")
    form = {
        "model": DIRECT["id"], "model_item": DIRECT, "session_id": tab.sid, "stream": False,
        "messages": [{"role": "user", "content": "x"}],
    }
    answer = await cast.bob.ask("POST", "/api/chat/completions", form)
    assert answer["choices"][0]["message"]["content"] == "in one piece", answer
    direct(tab, "", fail="no such key")
    chat = Chat(cast.bob, tab)
    await chat.ask("anything", DIRECT["id"], model_item=DIRECT)
    told = await tab.of_kind("chat:message:error")
    assert "no such key" in json.dumps(told), told


# ----------------------------------------------------------------------------------------------------- webhooks


async def hooks(cast, count, since):
    for _ in range(50):
        if len(cast.model.hooks) - since >= count:
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    return sorted(user for user, _ in cast.model.hooks[since:])


@check("webhooks", "a channel's message is posted for members who are away, and for no one who is there")
async def webhook_channel(cast):
    where = await channel(cast, "hooks", type="group", user_ids=[cast.bob.id, cast.carol.id])
    admin, bob = await cast.admin.browser(), await cast.bob.browser()
    since = len(cast.model.hooks)
    await told(bob, "message", await post(cast.admin, where, "who is there?"))
    assert await hooks(cast, 1, since) == ["carol"]
    # She comes, and he goes.
    await cast.carol.browser()
    await cast.bob.leave()
    since = len(cast.model.hooks)
    await told(admin, "message", await post(cast.admin, where, "and now?"))
    assert await hooks(cast, 1, since) == ["bob"]


@check("webhooks", "a finished answer is not posted for a user who is active")
async def webhook_chat(cast):
    tab = await cast.bob.browser()
    await tab.client.call("heartbeat", {})
    since = len(cast.model.hooks)
    chat = Chat(cast.bob, tab)
    await chat.ask("say 5")
    await chat.done()
    assert await hooks(cast, 0, since) == []


# ------------------------------------------------------------------------------------------------------ restarts


@check("restarts", "roomcast is killed while an answer streams: the tab comes back and gets the end")
async def restart_roomcast(cast):
    tab = await cast.bob.browser()
    chat = Chat(cast.bob, tab)
    await chat.ask("slow 60")
    await tab.of_kind("chat:completion")
    cast.stage.kill_roomcast()
    await cast.stage.start_roomcast()
    await chat.done(seconds=60)
    assert texts(tab, chat)[-1] == words(60)
    # And everything else goes on.
    def prepare(tab):
        async def answer(data):
            return "still"

        tab.answers["input"] = answer

    tab, chat = await plugin(cast, "input", prepare)
    assert texts(tab, chat)[-1] == "answer: 'still'"


@check("restarts", "while roomcast is away the backend answers as fast as ever")
async def away(cast):
    where = await channel(cast, "alone")
    cast.stage.kill_roomcast()
    began = time.monotonic()
    for number in range(20):
        await post(cast.bob, where, f"into the dark {number}")
    await cast.bob.ask("GET", "/api/usage")
    spent = time.monotonic() - began
    await cast.stage.start_roomcast()
    assert spent < 10, f"{spent} s"


@check("restarts", "the backend is killed and started: tabs stay, and go on")
async def restart_backend(cast):
    tab = await cast.bob.browser()
    sid = tab.sid
    cast.stage.kill_backend()
    await cast.stage.start_backend()
    await cast.stage.bridged()
    chat = Chat(cast.bob, tab)
    await chat.ask("say 5")
    await chat.done()
    assert tab.sid == sid and texts(tab, chat)[-1] == words(5)


# ------------------------------------------------------------------------------------------------------- running


async def play(options):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roomcast-openwebui-"))
    model = fake_model.FakeModel()
    await model.start()
    failed = 0
    passed = 0
    for mode in options.modes:
        workers, redis = MODES[mode]
        stage = Stage(folder / mode, options.roomcast, model.url, workers, redis)
        cast = Cast(stage, model)
        try:
            await stage.start()
            await cast.enter()
            for area, what, function in TABLE:
                if options.only and not any(word in area or word in function.__name__ for word in options.only):
                    continue
                if workers > 1 and area not in ACROSS_WORKERS:
                    continue
                began = time.monotonic()
                try:
                    await asyncio.wait_for(function(cast), 180)
                    verdict = "pass"
                    passed += 1
                except Exception:
                    verdict = "FAIL"
                    failed += 1
                    traceback.print_exc()
                for user in cast.all:
                    await user.leave()
                print(f"{verdict}  {mode:5}  {area:10} {what}  ({time.monotonic() - began:.1f} s)", flush=True)
        finally:
            await cast.close() if hasattr(cast, "carol") else None
            stage.stop()
    await model.stop()
    print(f"\n{passed} passed, {failed} failed")
    if failed or options.keep:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if failed or not passed else 0


#: What two processes could do differently from one. Tasks of Open WebUI live in one process without Redis, so that a stop may
#: not find them; that is none of roomcast's.
ACROSS_WORKERS = ("status", "citations", "calls", "channels", "dms", "groups", "notes", "usage", "direct", "webhooks")

#: Processes of the backend, and whether it has a Redis.
MODES = {"one": (1, False), "two": (2, False), "redis": (2, True)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--roomcast", required=True, help="the program")
    parser.add_argument("--only", nargs="*", help="areas or names of checks")
    parser.add_argument("--modes", nargs="*", choices=MODES, default=list(MODES), help="one or two processes, two with Redis")
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    sys.exit(asyncio.run(play(parser.parse_args())))
