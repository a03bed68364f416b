"""Open WebUI's module ``open_webui.socket.main`` over roomcast.

Owns: what stands in the place of which of its names. Must never know: how an event reaches a client.
"""

import contextlib
import functools
import inspect
import logging
from types import ModuleType
from typing import Any, Iterator

import socketio

from . import pools, queues
from .server import RoomcastServer, call_owner
from .settings import Settings

log = logging.getLogger("roomcast")


@contextlib.contextmanager
def prepared() -> Iterator[None]:
    """While the module runs for the first time, the server that it makes is roomcast's."""
    settings = Settings.read()
    original = socketio.AsyncServer
    socketio.AsyncServer = functools.partial(RoomcastServer, settings)
    try:
        yield
    finally:
        socketio.AsyncServer = original


def adopt(module: ModuleType) -> None:
    """After that: its pools, its calls, and later handlers."""
    server = module.sio
    if not isinstance(server, RoomcastServer):
        raise RuntimeError("open_webui.socket.main has made no server: this version of Open WebUI is not supported")
    sessions = pools.SessionPool(server.bridge)
    module.SESSION_POOL = sessions
    module.USAGE_POOL = pools.UsagePool(server.bridge)
    server.manager.on_member = sessions.see
    module.get_event_call = module.get_event_caller = _with_owner(module.get_event_call)
    if hasattr(module, "get_room_sid_map"):
        _adopt_newer(module, server)
    # The handlers until now are for events that roomcast handles itself.
    server.own_handlers = False
    # In the parent of several workers too, where it has nothing to do; but a worker's first call finds it connected.
    server.bridge.start()
    log.info("roomcast: clients of this process are served by %s", server.bridge.settings.url)


def _adopt_newer(module: ModuleType, server: RoomcastServer) -> None:
    """What 0.12 reads of its own sockets besides."""

    def get_room_sid_map(manager: Any, namespace: str, room: str) -> dict[str, str]:
        return dict(manager.get_participants(namespace, room))

    async def get_user_ids_from_room(room: str) -> set[str]:
        # roomcast looks after the tokens of its sockets: who is there is logged in.
        return {user["id"] for user in server.manager.users_in("/", room)}

    module.get_room_sid_map = get_room_sid_map
    module.get_user_ids_from_room = get_user_ids_from_room
    module.EVENT_QUEUES = queues.EventQueues(server)


def _with_owner(get_event_call: Any) -> Any:
    """A call names a session, which a client has named; with the user that it is for, no other user's is called."""

    def with_owner(call: Any, request_info: dict) -> Any:
        if call is None:
            return None

        @functools.wraps(call)
        async def __event_caller__(event_data: Any) -> Any:
            token = call_owner.set(request_info.get("user_id"))
            try:
                return await call(event_data)
            finally:
                call_owner.reset(token)

        return __event_caller__

    @functools.wraps(get_event_call)
    def get_owned_event_call(request_info: dict) -> Any:
        return with_owner(get_event_call(request_info), request_info)

    @functools.wraps(get_event_call)
    async def get_owned_event_call_later(request_info: dict) -> Any:
        return with_owner(await get_event_call(request_info), request_info)

    # A coroutine in 0.12.
    return get_owned_event_call_later if inspect.iscoroutinefunction(get_event_call) else get_owned_event_call
