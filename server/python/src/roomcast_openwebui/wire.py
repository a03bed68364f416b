"""Events and their arguments as roomcast's API has them.

Owns: the JSON of a request, and values from the JSON of a reply. Must never know: a connection.
"""

import base64
import json
import math
from typing import Any, Iterable, Optional

#: Names that Socket.IO keeps for itself: a client that gets such an event closes its connection.
RESERVED = frozenset({"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"})


def emit(event: str, data: Any, to: Optional[dict], skip: Iterable[str] = (), **more: Any) -> bytes:
    """The body of an emit or a call.

    :raises ValueError: the name of the event is reserved.
    :raises TypeError: the data have no JSON form.
    """
    if event in RESERVED:
        raise ValueError(f"the event name {event!r} is reserved by Socket.IO")
    attachments: list[str] = []
    body = {"to": to or {"all": True}, "event": event, "args": _arguments(data), **more}
    skip = [sid for sid in skip if sid]
    if skip:
        body["skip"] = skip
    text = _dumps(body, attachments)
    if attachments:
        # Known only now: what stands for them is in the text already.
        text = f'{text[:-1]},"attachments":{json.dumps(attachments)}}}'
    return text.encode()


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def step(route: str, request: bytes) -> bytes:
    """One request of a batch."""
    return b'{"route":"%b","body":%b}' % (route.encode(), request)


def batch(steps: Iterable[bytes]) -> bytes:
    return b'{"requests":[' + b",".join(steps) + b"]}"


def to_room(room: Any) -> Optional[dict]:
    """The target of python-socketio's ``room``: a name, a list of names, or ``None`` for all."""
    if room is None:
        return None
    if isinstance(room, str):
        return {"room": room}
    return {"rooms": list(room)}


def acknowledged(reply: dict) -> list:
    """The arguments of an ack, with bytes in the place of what stands for them."""
    attachments = [base64.b64decode(text) for text in reply.get("attachments", ())]
    return [_restore(value, attachments) for value in reply["data"]] if attachments else reply["data"]


def result(arguments: list) -> Any:
    """What ``AsyncServer.call`` returns for them."""
    if len(arguments) > 1:
        return tuple(arguments)
    return arguments[0] if arguments else None


def _arguments(data: Any) -> list:
    if isinstance(data, tuple):
        return list(data)
    return [] if data is None else [data]


def _dumps(value: Any, attachments: list[str]) -> str:
    def default(item: Any) -> Any:
        if isinstance(item, (bytes, bytearray, memoryview)):
            attachments.append(base64.b64encode(item).decode())
            return {"_placeholder": True, "num": len(attachments) - 1}
        raise TypeError(f"{type(item).__name__} cannot be sent to clients")

    try:
        return json.dumps(value, default=default, separators=(",", ":"), allow_nan=False)
    except ValueError:
        # JSON has no NaN, and a client's parser stops there.
        attachments.clear()
        return json.dumps(_finite(value), default=default, separators=(",", ":"), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _restore(value: Any, attachments: list[bytes]) -> Any:
    if isinstance(value, dict):
        if value.get("_placeholder") is True and isinstance(value.get("num"), int):
            return attachments[value["num"]]
        return {key: _restore(item, attachments) for key, item in value.items()}
    if isinstance(value, list):
        return [_restore(item, attachments) for item in value]
    return value
