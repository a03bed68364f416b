"""The import hook, over a module that is made like Open WebUI's."""

import os
import pathlib
import subprocess
import sys
import textwrap

MAIN = """
import socketio
WEBSOCKET_MANAGER = ""
sio = socketio.AsyncServer(cors_allowed_origins="*", async_mode="asgi", transports=["websocket"], always_connect=True)
SESSION_POOL, USAGE_POOL = {}, {}

def get_models_in_use():
    return list(USAGE_POOL.keys())

def get_user_ids_from_room(room):
    sids = [sid for sid, _ in sio.manager.get_participants(namespace="/", room=room)]
    return sorted({SESSION_POOL.get(sid)["id"] for sid in sids})

@sio.on("usage")
async def usage(sid, data):
    raise AssertionError("roomcast's own event")

def get_event_call(request_info):
    async def __event_caller__(event_data):
        return await sio.call("events", {"data": event_data}, to=request_info["session_id"])
    return __event_caller__ if "session_id" in request_info else None

get_event_caller = get_event_call
"""

#: What 0.12 has in other forms.
MAIN_NEWER = """
import asyncio, socketio
from socketio.packet import Packet

sio = socketio.AsyncServer(cors_allowed_origins="*", async_mode="asgi", serializer=Packet, always_connect=True)
SESSION_POOL, USAGE_POOL, EVENT_QUEUES = {}, {}, {}

def get_room_sid_map(manager, namespace, room):
    return manager.rooms.get(namespace, {}).get(room)

async def get_user_ids_from_room(room):
    raise AssertionError("of sockets of its own")

def get_session_ids_from_room(room):
    members = get_room_sid_map(sio.manager, "/", room)
    return list(members) if members else []

@sio.on("*")
async def socket_event_handler(event, sid, *args):
    raise AssertionError("a socket of its own")

async def get_event_call(request_info):
    async def __event_caller__(event_data):
        return await sio.call("events", {"data": event_data}, to=request_info["session_id"], timeout=None)
    return __event_caller__ if "session_id" in request_info else None
"""

PLAY_NEWER = """
import asyncio, sys
from open_webui.socket.main import (
    EVENT_QUEUES, SESSION_POOL, get_event_call, get_session_ids_from_room, get_user_ids_from_room, sio
)
import socketio

token, = sys.argv[1:]

async def play():
    import os, uuid
    client = socketio.AsyncClient()
    await client.connect(os.environ["ROOMCAST_URL"], socketio_path="ws/socket.io", transports=["websocket"])
    client.on("events", lambda data: {"answer": data["data"]} if isinstance(data["data"], int) else None)
    await client.call("user-join", {"auth": {"token": token}})
    await client.call("events:chat", {"chat_id": "first", "data": {"type": "join"}})
    sio.bridge.start()
    while not sio.bridge.is_connected:
        await asyncio.sleep(0.01)
    sid = client.get_sid()
    assert get_session_ids_from_room("user:ada") == [sid] and get_session_ids_from_room("nowhere") == []
    assert await get_user_ids_from_room("user:ada") == {"ada"} and await get_user_ids_from_room("nowhere") == set()
    # The pool: in which chats a session is, by all three ways of reading it; what others write does not count.
    entries = [SESSION_POOL.get(sid), dict(SESSION_POOL.items())[sid], dict(next(SESSION_POOL.scan_batches()))[sid]]
    for entry in entries:
        assert entry["id"] == "ada" and entry["chat_ids"] == ["first"] and entry["last_seen_at"] > 1_600_000_000, entry
    SESSION_POOL[sid] = {"id": "other"}
    SESSION_POOL.delete_many(sid)
    del SESSION_POOL[sid]
    assert SESSION_POOL[sid]["id"] == "ada"
    for gone in (lambda: SESSION_POOL["no"], lambda: SESSION_POOL.__delitem__("no")):
        try:
            gone()
        except KeyError:
            continue
        raise AssertionError("there is no such session")
    # Calls are of their user, and lines come in order while they are waited for.
    assert await get_event_call({}) is None
    info = {"session_id": sid, "user_id": "ada", "chat_id": "c", "message_id": "m"}
    assert await (await get_event_call(info))(7) == {"answer": 7}
    channel = f"ada:{sid}:{uuid.uuid4()}"
    queue = EVENT_QUEUES[channel] = asyncio.Queue()
    while channel not in sio.bridge._listening:
        await asyncio.sleep(0.01)
    # Behind what tells that it is listened for.
    await (await get_event_call(info))(8)
    for line in range(50):
        await client.emit(channel, f"line {line}")
    assert [await queue.get() for _ in range(50)] == [f"line {line}" for line in range(50)]
    assert EVENT_QUEUES.pop(channel, None) is queue and EVENT_QUEUES.pop(channel, None) is None
    assert sio.bridge._listening == {}
    await client.disconnect()
    print("played")

asyncio.run(play())
"""

PLAY = """
import asyncio, sys
from open_webui.socket.main import (
    SESSION_POOL, get_event_call, get_models_in_use, get_user_ids_from_room, sio
)
import socketio

assert socketio.AsyncServer.__module__.startswith("socketio"), "others get the original"
token, = sys.argv[1:]

async def play():
    import os
    client = socketio.AsyncClient()
    await client.connect(os.environ["ROOMCAST_URL"], socketio_path="ws/socket.io", transports=["websocket"])
    client.on("events", lambda data: {"answer": data["data"]})
    await client.call("user-join", {"auth": {"token": token}})
    await client.call("usage", {"action": "chat", "model": "llama", "chat_id": "c"})
    sio.bridge.start()
    while not sio.bridge.is_connected:
        await asyncio.sleep(0.01)
    assert get_user_ids_from_room("user:ada") == ["ada"]
    sid = client.get_sid()
    assert SESSION_POOL.get(sid)["name"] and sid in SESSION_POOL and SESSION_POOL.get("no") is None
    assert get_models_in_use() == ["llama"], get_models_in_use()
    assert get_event_call({}) is None
    info = {"session_id": sid, "user_id": "ada", "chat_id": "c", "message_id": "m"}
    assert await get_event_call(info)(7) == {"answer": 7}
    try:
        await get_event_call({**info, "user_id": "ben"})(7)
    except socketio.exceptions.TimeoutError:
        pass
    else:
        raise AssertionError("another user's session")
    assert sio.bridge._listening == {}
    await client.disconnect()
    print("played")

asyncio.run(play())
"""


def run(tmp_path, code, arguments=(), main=MAIN, **variables):
    """A new interpreter with the package's .pth file, as pip installs it."""
    package = tmp_path / "open_webui" / "socket"
    package.mkdir(parents=True, exist_ok=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "main.py").write_text(textwrap.dedent(main))
    source = pathlib.Path(__file__).parents[1]
    # `-S` with this is what site does in its folders.
    start = f"import site; site.addsitedir({str(tmp_path / 'site')!r})"
    (tmp_path / "site").mkdir(exist_ok=True)
    (tmp_path / "site" / "roomcast_openwebui.pth").write_text((source / "roomcast_openwebui.pth").read_text())
    path = os.pathsep.join([str(tmp_path), str(source / "src")])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path, **variables}
    command = [sys.executable, "-c", f"{start}\n{code}", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_an_unchanged_open_webui_is_served_by_roomcast(tmp_path, roomcast):
    variables = {"ROOMCAST_URL": roomcast.url, "ROOMCAST_API_KEY": roomcast.key}
    played = run(tmp_path, PLAY, [roomcast.tokens["ada"]], **variables)
    assert played.returncode == 0 and played.stdout == "played\n", played.stderr


def test_0_12_is_served_as_well(tmp_path, roomcast):
    variables = {"ROOMCAST_URL": roomcast.url, "ROOMCAST_API_KEY": roomcast.key}
    played = run(tmp_path, PLAY_NEWER, [roomcast.tokens["ada"]], MAIN_NEWER, **variables)
    assert played.returncode == 0 and played.stdout == "played\n", played.stderr


def test_without_the_variable_nothing_is_different(tmp_path):
    code = "import open_webui.socket.main as m, sys; print(type(m.sio).__module__, 'roomcast_openwebui' in sys.modules)"
    assert run(tmp_path, code).stdout == "socketio.async_server False\n"


def test_a_variable_that_cannot_be_used_is_told_by_its_name(tmp_path):
    code = "import open_webui.socket.main"
    for variables, name in [
        ({"ROOMCAST_URL": "roomcast:8080"}, "ROOMCAST_URL"),
        ({"ROOMCAST_URL": "http://127.0.0.1:1"}, "ROOMCAST_API_KEY"),
        ({"ROOMCAST_URL": "http://127.0.0.1:1", "ROOMCAST_API_KEY": "k", "ROOMCAST_QUEUE_MIB": "-1"}, "ROOMCAST_QUEUE_MIB"),
    ]:
        ended = run(tmp_path, code, **variables)
        assert ended.returncode != 0 and f"RuntimeError: {name} has to be" in ended.stderr, ended.stderr
    # An interpreter that is not Open WebUI's starts as ever.
    assert run(tmp_path, "print(1)", ROOMCAST_URL="nonsense").stdout == "1\n"


def test_too_late_is_told(tmp_path):
    code = "import open_webui.socket.main, roomcast_openwebui; roomcast_openwebui.install()"
    ended = run(tmp_path, code)
    assert "comes too late" in ended.stderr
