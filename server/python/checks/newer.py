"""Checks Open WebUI 0.12.4, unchanged, with its own front end in Chromium and roomcast in front: every check of the table has
to pass.

    python newer.py --roomcast target/debug/roomcast [--only notes] [--modes bridge] [--keep]

It needs an environment with open-webui, this package, aiohttp, python-socketio and playwright, and Chromium. The backend runs
on SQLite, with a fake model: with its events by the package of this folder (`bridge`), and over a Redis that roomcast listens
to, where the package does nothing (`redis`). See `./test.sh openwebui`.
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

import fake_model
from checks import Cast, words
from front import Front
from playwright.async_api import async_playwright, expect
from stage import PATIENCE, Stage, new_id

TABLE = []
#: Milliseconds until something has to be on a page.
SOON = PATIENCE * 1000


def check(area, what, modes=("bridge", "redis")):
    """Adds a check to the table."""

    def add(function):
        TABLE.append((area, what, modes, function))
        return function

    return add


class Tabs:
    """Pages of users in one Chromium."""

    def __init__(self, chromium, front):
        self.chromium, self.front = chromium, front
        self.contexts = []

    async def open(self, user, path="/"):
        """A tab of its own in a profile of its own, as the user, with what its sockets have said."""
        context = await self.chromium.new_context(viewport={"width": 1400, "height": 900}, locale="en-US")
        self.contexts.append(context)
        token = json.dumps(user.token)
        await context.add_init_script(f"if (!localStorage.token) localStorage.token = {token}; localStorage.locale = 'en-US'")
        page = await context.new_page()
        page.set_default_timeout(SOON)
        page.heard, page.said = [], []
        page.on("websocket", lambda socket: self._listen(page, socket))
        await page.goto(self.front.url + path)
        await self.until(lambda: any('"user-join"' in frame for frame in page.said), "no user-join")
        return page

    @staticmethod
    def _listen(page, socket):
        socket.on("framereceived", lambda frame: page.heard.append(str(frame)))
        socket.on("framesent", lambda frame: page.said.append(str(frame)))

    @staticmethod
    async def until(is_so, why, seconds=PATIENCE):
        for _ in range(seconds * 10):
            if is_so():
                return
            await asyncio.sleep(0.1)
        raise AssertionError(why)

    async def heard(self, page, *texts, since=0):
        def is_so():
            return any(all(text in frame for text in texts) for frame in page.heard[since:])

        await self.until(is_so, f"not heard: {texts}")

    async def shoot(self, folder, name):
        for number, context in enumerate(self.contexts):
            for page in context.pages:
                await page.screenshot(path=str(folder / f"{name}-{number}.png"))

    async def close(self):
        for context in self.contexts:
            await context.close()
        self.contexts = []


async def write(page, text, editor="#chat-input"):
    await page.click(editor)
    await page.keyboard.type(text)
    await page.keyboard.press("Enter")


async def sees(page, text):
    await expect(page.get_by_text(text).first).to_be_visible(timeout=SOON)


async def stored(user, path, is_so):
    for _ in range(PATIENCE * 5):
        found = await user.ask("GET", path)
        if is_so(found):
            return found
        await asyncio.sleep(0.2)
    raise AssertionError(f"{path}: {found}")


# ---------------------------------------------------------------------------------------------------------- chats


@check("chat", "an answer streams into the page, and is stored")
async def stream(cast, tabs):
    page = await tabs.open(cast.bob, "/?models=fake")
    await write(page, "slow 30")
    await sees(page, "w0 w1 w2")
    await sees(page, words(30))
    assert sum('"response:completion"' in frame for frame in page.heard) >= 30
    chat = page.url.rsplit("/", 1)[1]

    def is_stored(found):
        messages = found["chat"]["history"]["messages"].values()
        return any(message["role"] == "assistant" and words(30) in json.dumps(message) for message in messages)

    await stored(cast.bob, f"/api/v1/chats/{chat}", is_stored)


@check("chat", "a plugin asks for input, and gets what is typed into the page's dialog")
async def event_call(cast, tabs):
    page = await tabs.open(cast.admin, "/?models=events")
    await write(page, "input")
    await tabs.heard(page, '"type":"input"')
    field = page.locator("[role=dialog] textarea, [role=dialog] input, .modal-content textarea, .modal-content input").first
    await field.fill("from the page")
    await page.get_by_role("button", name="Confirm").click()
    await sees(page, "answer: 'from the page'")
    await tabs.heard(page, "request:interaction:done")


@check("chat", "a shared chat: presence, live text, and the end of the share")
async def shared_chat(cast, tabs):
    bob = await tabs.open(cast.bob, "/?models=fake")
    await write(bob, "say 3")
    await sees(bob, words(3))
    chat = bob.url.rsplit("/", 1)[1]
    share = (await cast.bob.ask("POST", f"/api/v1/chats/{chat}/share", {"share_mode": "continue"}))["share_id"]
    grants = [{"principal_type": "user", "principal_id": cast.carol.id, "permission": "read"}]
    form = {"access_grants": grants, "share_mode": "continue"}
    await cast.bob.ask("POST", f"/api/v1/chats/shared/{chat}/access/update", form)
    carol = await tabs.open(cast.carol, f"/s/{share}")
    await sees(carol, words(3))
    await tabs.heard(bob, "chat:presence", cast.carol.id)
    await tabs.heard(carol, "chat:presence", cast.bob.id)
    await write(bob, "say 7")
    await sees(carol, words(7))
    since = len(carol.heard)
    await cast.bob.ask("DELETE", f"/api/v1/chats/{chat}/share")
    await tabs.heard(carol, "chat:access", since=since)
    since = len(carol.heard)
    await write(bob, "say 9")
    await sees(bob, words(9))
    assert not any("w8" in frame for frame in carol.heard[since:])


@check("chat", "a direct connection: the page asks the model, and its lines come back as an answer")
async def direct(cast, tabs):
    url = f"{cast.model.url}/v1"
    connections = {"OPENAI_API_BASE_URLS": [url], "OPENAI_API_KEYS": ["own"], "OPENAI_API_CONFIGS": {"0": {"enable": True, "prefix_id": "own"}}}
    await cast.admin.ask("POST", "/api/v1/configs/connections", {"ENABLE_DIRECT_CONNECTIONS": True, "ENABLE_BASE_MODELS_CACHE": False})
    await cast.carol.ask("POST", "/api/v1/users/user/settings/update", {"ui": {"directConnections": connections}})
    page = await tabs.open(cast.carol, "/?models=own.fake")
    await write(page, "say 40")
    await sees(page, words(40))
    await tabs.heard(page, "request:chat:completion")
    assert any('"done":true' in frame and cast.carol.id in frame for frame in page.said)


# ------------------------------------------------------------------------------------------------------- channels


async def group(cast, name, *users):
    form = {"name": name, "type": "group", "is_private": True, "access_grants": [], "user_ids": [user.id for user in users]}
    return await cast.admin.ask("POST", "/api/v1/channels/create", form)


async def post(user, where, text, **more):
    form = {"content": text, "data": {}, "meta": {}, **more}
    return await user.ask("POST", f"/api/v1/channels/{where['id']}/messages/post", form)


@check("channels", "messages, reactions and threads reach an open page")
async def channel(cast, tabs):
    where = await group(cast, "all three", cast.bob, cast.carol)
    bob, carol = [await tabs.open(user, f"/channels/{where['id']}") for user in (cast.bob, cast.carol)]
    await write(bob, "hello from the page")
    await sees(carol, "hello from the page")
    sent = await post(cast.admin, where, "react to this")
    await sees(bob, "react to this")
    path = f"/api/v1/channels/{where['id']}/messages/{sent['id']}"
    await cast.carol.ask("POST", f"{path}/reactions/add", {"name": "thumbsup"})
    await tabs.heard(bob, "message:reaction:add", "thumbsup")
    await post(cast.carol, where, "in the thread", parent_id=sent["id"])
    await sees(bob, "1 Replies")
    await cast.admin.ask("POST", f"{path}/update", {"content": "react to that", "data": {}, "meta": {}})
    await sees(bob, "react to that")
    await bob.click("#chat-input")
    await bob.keyboard.type("ty")
    await tabs.heard(carol, '"typing":true', cast.bob.id)


@check("channels", "a new direct message reaches an open page without a reload")
async def dm(cast, tabs):
    carol = await tabs.open(cast.carol)
    where = await cast.bob.ask("GET", f"/api/v1/channels/users/{cast.carol.id}")
    await tabs.heard(carol, "channel:created")
    # roomcast reads the channels of its users a moment later.
    await asyncio.sleep(2)
    await post(cast.bob, where, "psst")
    await tabs.heard(carol, "psst")
    bob = await tabs.open(cast.bob, f"/channels/{where['id']}")
    await sees(bob, "psst")
    await post(cast.carol, where, "yes?")
    await sees(bob, "yes?")


@check("channels", "who is removed hears no more")
async def removed(cast, tabs):
    where = await group(cast, "less one", cast.bob, cast.carol)
    carol = await tabs.open(cast.carol, f"/channels/{where['id']}")
    await post(cast.bob, where, "still here")
    await sees(carol, "still here")
    form = {"user_ids": [cast.carol.id]}
    await cast.admin.ask("POST", f"/api/v1/channels/{where['id']}/update/members/remove", form)
    since = len(carol.heard)
    bob = await tabs.open(cast.bob, f"/channels/{where['id']}")
    await post(cast.admin, where, "without her")
    await sees(bob, "without her")
    assert not any("without her" in frame for frame in carol.heard[since:])


@check("channels", "webhooks are for members who are away", modes=("bridge",))
async def webhooks(cast, tabs):
    where = await group(cast, "hooks", cast.bob, cast.carol)
    await tabs.open(cast.bob)
    await tabs.open(cast.admin)
    since = len(cast.model.hooks)
    await post(cast.admin, where, "who is there?")
    await tabs.until(lambda: len(cast.model.hooks) > since, "no webhook")
    await asyncio.sleep(1)
    assert sorted(user for user, _ in cast.model.hooks[since:]) == ["carol"]


@check("channels", "an encrypted conversation, which the backend ends when the channel changes")
async def encrypted(cast, tabs):
    where = (await group(cast, "sealed", cast.bob, cast.carol))["id"]
    bob, carol, admin = [await user.browser() for user in (cast.bob, cast.carol, cast.admin)]

    async def call(browser, action, **more):
        return await browser.client.call(f"encryption:{action}", {"channel": where, **more}, timeout=PATIENCE)

    def of_kind(kind):
        return lambda name, data: name == "encryption:event" and data["kind"] == kind

    key = "A" * 43 + "="
    assert await call(bob, "status") == {"ok": True, "available": False, "session": None}
    started = await call(bob, "start")
    session, host = started["session"], started["participation"]
    assert (await call(bob, "bind", session=session, participation=host, key=key))["ok"]
    await carol.wait(lambda name, data: name == "encryption:available" and data["session"] == session)
    guest = (await call(carol, "join", session=session))["participation"]
    assert (await call(carol, "bind", session=session, participation=guest, key=key, packet="S1AA"))["ok"]
    candidate = await bob.wait(of_kind("candidate"))
    assert candidate["sender"] == guest and candidate["packet"] == "S1AA" and candidate["sequence"] == 1
    admit = {"kind": "admit", "packet": "QUFB", "target": guest, "welcome": "V1dX"}
    assert (await call(bob, "packet", session=session, participation=host, **admit))["ok"]
    assert (await carol.wait(of_kind("welcome")))["packet"] == "V1dX"
    said = {"session": session, "participation": guest, "kind": "mls", "packet": "Qk9C"}
    assert (await call(carol, "packet", **said))["ok"]
    assert (await bob.wait(of_kind("mls")))["packet"] == "Qk9C"
    assert not (await call(admin, "packet", **said))["ok"], "one that takes no part"
    await cast.admin.ask("POST", f"/api/v1/channels/{where}/update/members/remove", {"user_ids": [cast.carol.id]})
    for browser in (bob, carol):
        await browser.wait(of_kind("ended"))
    assert not (await call(carol, "packet", **said))["ok"] and not (await call(carol, "status"))["ok"]
    assert (await call(bob, "status"))["session"] is None


# ---------------------------------------------------------------------------------------------------------- notes


@check("notes", "two edit one note, and the backend has what both have typed")
async def editing(cast, tabs):
    content = {"json": None, "html": "<p>begun</p>", "md": "begun"}
    grants = [
        {"principal_type": "user", "principal_id": user.id, "permission": right}
        for user in (cast.bob, cast.carol)
        for right in ("read", "write")
    ]
    form = {"title": "shared", "data": {"content": content}, "access_grants": grants}
    # Users may share notes only if the configuration says so.
    note = (await cast.admin.ask("POST", "/api/v1/notes/create", form))["id"]
    bob, carol = [await tabs.open(user, f"/notes/{note}") for user in (cast.bob, cast.carol)]
    for page in (bob, carol):
        await sees(page, "begun")
    for page, other, text in ((bob, carol, " by bob"), (carol, bob, " and by carol")):
        editor = page.locator(".ProseMirror, .tiptap").first
        await editor.click()
        await page.keyboard.press("Control+End")
        await page.keyboard.type(text)
        await sees(other, text.strip())
    whole = "begun by bob and by carol"
    for page in (bob, carol):
        await sees(page, whole)
    await stored(cast.admin, f"/api/v1/notes/{note}", lambda found: whole in (found["data"]["content"]["md"] or ""))


# ------------------------------------------------------------------------------------------------------- sessions


@check("sessions", "a role that changes while connected ends the session, and pending users hear nothing")
async def role(cast, tabs):
    carol = await tabs.open(cast.carol)
    since = len(carol.heard)
    form = {"role": "pending", "name": "carol", "email": "carol@example.org", "profile_image_url": "/user.png"}
    await cast.admin.ask("POST", f"/api/v1/users/{cast.carol.id}/update", form)
    await tabs.until(lambda: "41" in carol.heard[since:], "not disconnected")
    since = len(carol.heard)
    where = await cast.admin.ask("GET", f"/api/v1/channels/users/{cast.carol.id}")
    await post(cast.admin, where, "not for pending eyes")
    await asyncio.sleep(3)
    assert not any("pending eyes" in frame or "channel:created" in frame for frame in carol.heard[since:])
    await cast.admin.ask("POST", f"/api/v1/users/{cast.carol.id}/update", {**form, "role": "user"})
    again = await tabs.open(cast.carol)
    await post(cast.admin, where, "for her again")
    await tabs.heard(again, "for her again")


@check("sessions", "a changed group tells the page, which comes back with the new rights")
async def groups(cast, tabs):
    bob = await tabs.open(cast.bob)
    since = len(bob.heard)
    form = {"name": f"group {new_id()}", "description": "-", "permissions": {"features": {"channels": True}}}
    made = await cast.admin.ask("POST", "/api/v1/groups/create", form)
    await cast.admin.ask("POST", f"/api/v1/groups/id/{made['id']}/users/add", {"user_ids": [cast.bob.id]})
    await tabs.heard(bob, "access:updated", since=since)
    await tabs.until(lambda: "41" in bob.heard[since:], "not disconnected")
    told = [at for at, frame in enumerate(bob.heard[since:]) if "access:updated" in frame][0]
    assert told < bob.heard[since:].index("41"), "told before it is cut"
    await tabs.until(lambda: any('40{"sid"' in frame for frame in bob.heard[since:]), "it does not come back")


# Without a Redis, Open WebUI revokes no single token.
@check("sessions", "a token that is signed out of is none any more", modes=("redis",))
async def signed_out(cast, tabs):
    # A token of its own: the other checks go on with theirs.
    form = {"email": "carol@example.org", "password": "a-password-1"}
    async with cast.carol.http.post(f"{cast.stage.backend_url}/api/v1/auths/signin", json=form) as response:
        token = (await response.json())["token"]
    before, cast.carol.token = cast.carol.token, token
    carol = await tabs.open(cast.carol)
    cast.carol.token = before
    since = len(carol.heard)
    headers = {"authorization": f"Bearer {token}"}
    async with cast.carol.http.post(f"{cast.stage.backend_url}/api/v1/auths/signout", headers=headers) as response:
        assert response.status in (200, 307), await response.text()
    await tabs.until(lambda: "41" in carol.heard[since:], "not disconnected")


@check("sessions", "a new password ends all sessions, and their tokens are none any more")
async def password(cast, tabs):
    carol = await tabs.open(cast.carol)
    since = len(carol.heard)
    form = {"role": "user", "name": "carol", "email": "carol@example.org", "profile_image_url": "/user.png"}
    form["password"] = "a-password-1"
    await cast.admin.ask("POST", f"/api/v1/users/{cast.carol.id}/update", form)
    await tabs.until(lambda: "41" in carol.heard[since:], "not disconnected")
    # Its page comes back with the old token, and hears nothing.
    since = len(carol.heard)
    where = await cast.admin.ask("GET", f"/api/v1/channels/users/{cast.carol.id}")
    await post(cast.admin, where, "behind the new password")
    await asyncio.sleep(3)
    assert not any("behind the new" in frame for frame in carol.heard[since:])
    await cast.sign_in(cast.carol)
    again = await tabs.open(cast.carol)
    await post(cast.admin, where, "for the new token")
    await tabs.heard(again, "for the new token")


# --------------------------------------------------------------------------------------------------------- running


async def play(options):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roomcast-openwebui-"))
    model = fake_model.FakeModel()
    await model.start()
    passed, failed = 0, []
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        for mode in options.modes:
            stage = Stage(folder / mode, options.roomcast, model.url, redis=mode == "redis", bridge=mode == "bridge")
            front = Front(stage)
            tabs = Tabs(chromium, front)
            cast = Cast(stage, model)
            try:
                await stage.start()
                await front.start()
                await cast.enter()
                for area, what, modes, function in TABLE:
                    if options.only and not any(word in area or word in function.__name__ for word in options.only):
                        continue
                    if mode not in modes:
                        continue
                    began = time.monotonic()
                    try:
                        await asyncio.wait_for(function(cast, tabs), 180)
                        verdict = "pass"
                        passed += 1
                    except Exception:
                        verdict = "FAIL"
                        failed.append(f"{mode} {function.__name__}")
                        traceback.print_exc()
                        await tabs.shoot(folder, f"{mode}-{function.__name__}")
                    await tabs.close()
                    for user in cast.all:
                        await user.leave()
                    print(f"{verdict}  {mode:6}  {area:10} {what}  ({time.monotonic() - began:.1f} s)", flush=True)
            finally:
                await cast.close() if hasattr(cast, "carol") else None
                stage.stop()
                await front.stop()
        await chromium.close()
    await model.stop()
    print(f"\n{passed} passed, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
    if failed or options.keep:
        print(f"logs and pictures: {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--roomcast", required=True, help="the program")
    parser.add_argument("--only", nargs="*", help="areas or names of checks")
    parser.add_argument("--modes", nargs="*", choices=("bridge", "redis"), default=["bridge", "redis"])
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser")
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    sys.exit(asyncio.run(play(parser.parse_args())))
