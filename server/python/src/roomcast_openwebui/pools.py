"""``SESSION_POOL`` and ``USAGE_POOL`` of Open WebUI, read from roomcast.

Owns: which of their methods ask, and for how long an answer is good. Must never know: how roomcast is asked.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import MutableMapping
from typing import Any, Iterator, Optional

from . import wire
from .bridge import Bridge


class SessionPool(MutableMapping):
    """The user of each session. What is stored here by others is kept in this process."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._own: dict[str, Any] = {}
        self._seen: OrderedDict[str, tuple[float, dict]] = OrderedDict()
        self._lock = threading.Lock()

    def see(self, sid: str, user: dict) -> None:
        """A session that has just been read with others."""
        with self._lock:
            self._seen[sid] = (time.monotonic(), user)
            self._seen.move_to_end(sid)
            while len(self._seen) > SEEN_MAX:
                self._seen.popitem(last=False)

    def __getitem__(self, sid: str) -> dict:
        if sid in self._own:
            return self._own[sid]
        user = self._find(sid)
        if user is None:
            raise KeyError(sid)
        return user

    def __contains__(self, sid: object) -> bool:
        return sid in self._own or (isinstance(sid, str) and self._find(sid) is not None)

    def __setitem__(self, sid: str, user: Any) -> None:
        self._own[sid] = user

    def __delitem__(self, sid: str) -> None:
        del self._own[sid]

    def __iter__(self) -> Iterator[str]:
        found = self._bridge.read("members", wire.body(to={"all": True})) or {"members": ()}
        for member in found["members"]:
            if member["user"] is not None:
                self.see(member["session"], member["user"])
                yield member["session"]
        yield from self._own

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _find(self, sid: str) -> Optional[dict]:
        with self._lock:
            seen_at, user = self._seen.get(sid, (0.0, None))
        if user is not None and time.monotonic() - seen_at < SEEN_SECONDS:
            return user
        found = self._bridge.read("session", wire.body(session=sid))
        return found["user"] if found else None


class UsagePool(MutableMapping):
    """The models in use. roomcast forgets them by itself: what the sweeper writes here has no effect."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def _models(self) -> list[str]:
        found = self._bridge.read("usage", wire.body())
        return found["models"] if found else []

    def __iter__(self) -> Iterator[str]:
        return iter(self._models())

    def __len__(self) -> int:
        return len(self._models())

    def __contains__(self, model: object) -> bool:
        return model in self._models()

    def __getitem__(self, model: str) -> dict:
        if model not in self._models():
            raise KeyError(model)
        return self._now()

    def __setitem__(self, model: str, connections: Any) -> None:
        pass

    def __delitem__(self, model: str) -> None:
        pass

    def keys(self) -> list[str]:
        return self._models()

    def items(self) -> list[tuple[str, dict]]:
        return [(model, self._now()) for model in self._models()]

    def values(self) -> list[dict]:
        return [self._now() for _ in self._models()]

    @staticmethod
    def _now() -> dict:
        return {"roomcast": {"updated_at": int(time.time())}}


#: Seconds for which a session that was read with others is known, and how many are.
SEEN_SECONDS, SEEN_MAX = 2.0, 100_000
