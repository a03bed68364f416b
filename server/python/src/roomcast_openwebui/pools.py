"""``SESSION_POOL`` and ``USAGE_POOL`` of Open WebUI, read from roomcast.

Owns: which of their methods ask, and for how long an answer is good. Must never know: how roomcast is asked.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import MutableMapping
from typing import Any, Iterable, Iterator, Optional

from . import wire
from .bridge import Bridge


class SessionPool(MutableMapping):
    """The user of each session. What is stored here by others is kept in this process."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._own: dict[str, Any] = {}
        self._seen: OrderedDict[str, tuple[float, dict]] = OrderedDict()
        self._lock = threading.Lock()

    def see(self, sid: str, user: dict, chats: Iterable[str] = ()) -> dict:
        """A session that has just been read with others: its entry."""
        entry = _entry(user, chats)
        with self._lock:
            self._seen[sid] = (time.monotonic(), entry)
            self._seen.move_to_end(sid)
            while len(self._seen) > SEEN_MAX:
                self._seen.popitem(last=False)
        return entry

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
        # Of a session here the rooms say in which chats it is: 0.12 has it leave those that it takes away as well.
        if sid in self._own or self._find(sid) is None:
            self._own[sid] = user

    def __delitem__(self, sid: str) -> None:
        if sid in self._own:
            del self._own[sid]
        elif self._find(sid) is None:
            raise KeyError(sid)

    def __iter__(self) -> Iterator[str]:
        return iter([sid for sid, _ in self.items()])

    def items(self) -> list[tuple[str, dict]]:
        """All sessions with their users, read at once."""
        found = self._bridge.read("members", wire.body(to={"all": True})) or {"members": ()}
        entries = []
        for member in found["members"]:
            if member["user"] is not None:
                entry = self.see(member["session"], member["user"], member.get("chats", ()))
                entries.append((member["session"], entry))
        return entries + list(self._own.items())

    def scan_batches(self, count: int = 200) -> Iterator[list[tuple[str, dict]]]:
        """The same in parts, as 0.12 reads its pool in Redis."""
        entries = self.items()
        for start in range(0, len(entries), count):
            yield entries[start : start + count]

    def delete_many(self, *sids: str) -> None:
        """What 0.12 calls for sessions that are heard of no more. roomcast forgets its own by itself."""
        for sid in sids:
            self._own.pop(sid, None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _find(self, sid: str) -> Optional[dict]:
        with self._lock:
            seen_at, user = self._seen.get(sid, (0.0, None))
        if user is not None and time.monotonic() - seen_at < SEEN_SECONDS:
            return user
        found = self._bridge.read("session", wire.body(session=sid))
        if not found or found["user"] is None:
            return None
        rooms = found.get("rooms", [])
        return _entry(found["user"], [room[len(CHAT_ROOM) :] for room in rooms if room.startswith(CHAT_ROOM)])


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


def _entry(user: dict, chats: Iterable[str]) -> dict:
    """As 0.12 keeps a session. One that is not heard of any more is none of roomcast's."""
    return {**user, "last_seen_at": int(time.time()), "chat_ids": list(chats)}


#: What the names of rooms of chats begin with.
CHAT_ROOM = "chat:"
#: Seconds for which a session that was read with others is known, and how many are.
SEEN_SECONDS, SEEN_MAX = 2.0, 100_000
