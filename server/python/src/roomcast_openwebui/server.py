"""A ``socketio.AsyncServer`` whose clients are connected to roomcast.

Owns: what its methods and its manager mean there. Must never know: Open WebUI.
"""

import asyncio
import contextvars
import logging
import re
from typing import Any, Iterable, Iterator, Optional

import socketio

from . import wire
from .bridge import Away, Bridge, Refused
from .settings import Settings

log = logging.getLogger("roomcast")

#: The user whose session a call is for, where the caller knows.
call_owner: contextvars.ContextVar[Optional[str]] = contextvars.ContextVar("roomcast_call_owner", default=None)


class RoomcastServer(socketio.AsyncServer):
    """Emits, calls and rooms of the namespace ``/`` happen in roomcast.

    Handlers that are registered while ``own_handlers`` is true are roomcast's own events and are never called; later ones
    (direct connections, plugins) get what roomcast does not know itself.
    """

    def __init__(self, settings: Settings, **options: Any) -> None:
        self.bridge = Bridge(settings, self._receive)
        self.own_handlers = True
        options["client_manager"] = Manager(self.bridge)
        super().__init__(**options)
        self.handlers = _Namespaces(self)

    async def call(
        self,
        event: str,
        data: Any = None,
        to: Optional[str] = None,
        sid: Optional[str] = None,
        namespace: Optional[str] = None,
        timeout: Optional[float] = 60,
        ignore_queue: bool = False,
    ) -> Any:
        """As python-socketio's, but a session that is gone, or another user's, is told at once.

        :raises socketio.exceptions.TimeoutError: the client does not answer, or cannot.
        """
        session = to or sid
        if session is None:
            raise ValueError("Cannot use call() to broadcast.")
        bound = self.bridge.call_timeout_max
        timeout = bound if timeout is None else min(timeout, bound)
        target = {"session": session}
        if owner := call_owner.get():
            target["user"] = owner
        body = wire.emit(event, data, target, timeout_ms=int(timeout * 1000))
        try:
            # roomcast keeps the time; beyond it only a connection that hangs is waited for.
            answer = await asyncio.wait_for(asyncio.wrap_future(self.bridge.request("call", body)), timeout + 5)
        except Refused as refused:
            if refused.status == 400:
                raise ValueError(str(refused)) from None
            log.debug("roomcast: a call of %r was not answered, %s", event, refused)
            raise socketio.exceptions.TimeoutError() from refused
        except (Away, asyncio.TimeoutError) as error:
            raise socketio.exceptions.TimeoutError() from error
        return wire.result(wire.acknowledged(answer))

    async def disconnect(self, sid: str, namespace: Optional[str] = None, ignore_queue: bool = False) -> None:
        await self.manager.disconnect(sid, namespace or "/")

    async def handle_request(self, *args: Any, **kwargs: Any) -> None:
        """A client that comes here has passed roomcast by."""
        scope, receive, send = args
        log.error("a client asks this process for %s, which the proxy has to send to roomcast", scope["path"])
        if scope["type"] == "websocket":
            await receive()
            return await send({"type": "websocket.close", "code": 1013})
        text = b"This address is served by roomcast: the proxy has to send it there."
        head = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 503, "headers": head})
        await send({"type": "http.response.body", "body": text})

    async def _receive(self, sid: str, event: str, *args: Any) -> Any:
        """In the bridge's thread: an event of a browser, for a handler in the loop that it was registered in."""
        handlers = self.handlers.get("/", {})
        handler, loop = handlers.get(event), self.handlers.loop_of(event)
        if handler is None:
            return None

        async def handle() -> Any:
            result = handler(sid, *args)
            return await result if asyncio.iscoroutine(result) else result

        if loop is None or loop.is_closed():
            return await handle()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(handle(), loop))


class Manager(socketio.AsyncManager):
    """The manager of a :class:`RoomcastServer`."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self.bridge = bridge

    async def can_disconnect(self, sid: str, namespace: str) -> bool:
        return True

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **_: Any,
    ) -> None:
        if not _is_served(namespace):
            return
        skip = [skip_sid] if isinstance(skip_sid, str) or skip_sid is None else skip_sid
        room = to or room
        if callback is None:
            return self.bridge.put("emit", wire.emit(event, data, wire.to_room(room), skip))
        if not isinstance(room, str):
            raise ValueError("callbacks are for one session")
        timeout_ms = int(self.bridge.call_timeout_max * 1000)
        body = wire.emit(event, data, {"session": room}, timeout_ms=timeout_ms)
        asyncio.ensure_future(_call_back(self.bridge.request("call", body), callback))

    async def enter_room(self, sid: str, namespace: str, room: str, eio_sid: Any = None) -> None:
        if _is_served(namespace):
            self.bridge.put("enter_room", wire.body(to={"session": sid}, room=room))

    async def leave_room(self, sid: str, namespace: str, room: str) -> None:
        if _is_served(namespace):
            self.bridge.put("leave_room", wire.body(to={"session": sid}, room=room))

    async def close_room(self, room: str, namespace: str) -> None:
        if _is_served(namespace):
            self.bridge.put("close_room", wire.body(room=room))

    async def disconnect(self, sid: str, namespace: str, **_: Any) -> None:
        if _is_served(namespace):
            self.bridge.put("disconnect", wire.body(to={"session": sid}, extent="namespace"))

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        """The logged-in sessions of a room as they are now, in all of roomcast."""
        return iter([(member["session"], member["session"]) for member in self._logged_in(namespace, room)])

    def users_in(self, namespace: str, room: Any) -> list[dict]:
        """The users of these, each as often as it has sessions."""
        return [member["user"] for member in self._logged_in(namespace, room)]

    def _logged_in(self, namespace: str, room: Any) -> list[dict]:
        if not _is_served(namespace):
            return []
        found = self.bridge.read("members", wire.body(to=wire.to_room(room) or {"all": True})) or {"members": ()}
        logged_in = [member for member in found["members"] if member["user"] is not None]
        for member in logged_in:
            self.on_member(member["session"], member["user"], member.get("chats", ()))
        return logged_in

    def on_member(self, sid: str, user: dict, chats: Iterable[str]) -> None:
        """Told of each session that :meth:`get_participants` finds, with the ids of its chats."""

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        found = self.bridge.read("session", wire.body(session=sid)) if _is_served(namespace) else None
        return found["rooms"] if found else []

    def is_connected(self, sid: str, namespace: str) -> bool:
        return _is_served(namespace) and self.bridge.read("session", wire.body(session=sid)) is not None

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str:
        return eio_sid

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str:
        return sid


class _Namespaces(dict):
    """``AsyncServer.handlers``: those of the namespace ``/`` are listened for."""

    def __init__(self, server: RoomcastServer) -> None:
        super().__init__()
        self._server = server
        super().__setitem__("/", _Handlers(server))

    def loop_of(self, event: str) -> Optional[asyncio.AbstractEventLoop]:
        return self["/"].loops.get(event)


class _Handlers(dict):
    def __init__(self, server: RoomcastServer) -> None:
        super().__init__()
        self._server = server
        self.loops: dict[str, asyncio.AbstractEventLoop] = {}

    def __setitem__(self, event: str, handler: Any) -> None:
        super().__setitem__(event, handler)
        if self._server.own_handlers or event in wire.RESERVED:
            return
        try:
            self.loops[event] = asyncio.get_running_loop()
        except RuntimeError:
            self.loops.pop(event, None)
        self._server.bridge.listen(event, owner_of(event))

    def __delitem__(self, event: str) -> None:
        super().__delitem__(event)
        self.loops.pop(event, None)
        self._server.bridge.unlisten(event)

    def pop(self, event: str, *default: Any) -> Any:
        if event in self:
            handler = self[event]
            del self[event]
            return handler
        return super().pop(event, *default)


def owner_of(event: str) -> Optional[str]:
    """The user in the name of a direct connection's event, ``user:session:request``."""
    match = DIRECT.fullmatch(event)
    return match["user"] if match else None


def _is_served(namespace: str) -> bool:
    if namespace == "/":
        return True
    log.error("roomcast serves the namespace / alone, not %r", namespace)
    return False


async def _call_back(future: Any, callback: Any) -> None:
    try:
        answer = await asyncio.wrap_future(future)
    except (Away, Refused) as error:
        return log.debug("roomcast: no ack, %s", error)
    result = callback(*wire.acknowledged(answer))
    if asyncio.iscoroutine(result):
        await result


DIRECT = re.compile(r"(?P<user>[^:]+):[^:]+:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
