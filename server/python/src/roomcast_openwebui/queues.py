"""``EVENT_QUEUES`` of Open WebUI 0.12: the lines of direct connections, which come from roomcast.

Owns: that a request is listened for while its queue is there. Must never know: what a line says.
"""

import asyncio
from typing import Any

from .server import RoomcastServer


class EventQueues(dict):
    """Queues by the name of an event, ``user:session:request``. Lines are put into them in the order of their arrival."""

    def __init__(self, server: RoomcastServer) -> None:
        super().__init__()
        self._server = server

    def __setitem__(self, event: str, queue: asyncio.Queue) -> None:
        super().__setitem__(event, queue)

        async def put(_sid: str, line: Any = None, *_: Any) -> None:
            await queue.put(line)

        self._server.handlers["/"][event] = put

    def __delitem__(self, event: str) -> None:
        super().__delitem__(event)
        self._server.handlers["/"].pop(event, None)

    def pop(self, event: str, *default: Any) -> Any:
        if event in self:
            queue = self[event]
            del self[event]
            return queue
        return super().pop(event, *default)
