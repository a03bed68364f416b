"""Open WebUI's module ``open_webui.socket.main`` over roomcast.

Owns: what stands in the place of which of its names. Must never know: how an event reaches a client.
"""

import contextlib
import functools
import logging
from types import ModuleType
from typing import Any, Iterator

import socketio

from . import pools
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
    # The handlers until now are for events that roomcast handles itself.
    server.own_handlers = False
    # In the parent of several workers too, where it has nothing to do; but a worker's first call finds it connected.
    server.bridge.start()
    log.info("roomcast: clients of this process are served by %s", server.bridge.settings.url)


def _with_owner(get_event_call: Any) -> Any:
    """A call names a session, which a client has named; with the user that it is for, no other user's is called."""

    @functools.wraps(get_event_call)
    def get_owned_event_call(request_info: dict) -> Any:
        call = get_event_call(request_info)
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

    return get_owned_event_call
