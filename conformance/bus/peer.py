"""A python-socketio server on the bus, driven over HTTP. Runs in a virtual environment of the version under test."""
import sys

import socketio
from aiohttp import web

port, redis_url = int(sys.argv[1]), sys.argv[2]
manager = socketio.AsyncRedisManager(redis_url)
sio = socketio.AsyncServer(async_mode="aiohttp", client_manager=manager, cors_allowed_origins="*")


@sio.on("join")
async def join(sid, room):
    await sio.enter_room(sid, room)
    return "joined", room


@sio.on("room-cast")
async def room_cast(sid, room, data):
    await sio.emit("room-event", (room, data), room=room)


def revive(value):
    """JSON has no bytes and no tuples: {"$bytes": hex}, {"$tuple": [...]}."""
    if isinstance(value, dict):
        if "$bytes" in value:
            return bytes.fromhex(value["$bytes"])
        if "$tuple" in value:
            return tuple(revive(item) for item in value["$tuple"])
        return {key: revive(item) for key, item in value.items()}
    if isinstance(value, list):
        return [revive(item) for item in value]
    return value


async def control(request):
    body = await request.json()
    op = getattr(sio, body["op"])
    result = await op(*revive(body.get("args", [])), **revive(body.get("kwargs", {})))
    if isinstance(result, tuple):
        result = {"$tuple": list(result)}
    return web.json_response({"result": result})


async def start(app):
    # As Open WebUI 0.12 does: the listener would start with the first Engine.IO connection only.
    if not sio.manager_initialized:
        sio.manager_initialized = True
        sio.manager.initialize()


app = web.Application()
sio.attach(app)
app.router.add_post("/control", control)
app.on_startup.append(start)
web.run_app(app, host="127.0.0.1", port=port, print=lambda *_: print("ready", flush=True))
