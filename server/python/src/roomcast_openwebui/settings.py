"""The variables of this package.

Owns: their names and defaults. Must never know: what they are for.
"""

import os
from dataclasses import dataclass
from typing import Mapping


@dataclass(frozen=True)
class Settings:
    """How to reach roomcast, and how much to keep while it is away."""

    #: Where roomcast listens: ``http://roomcast:8080``.
    url: str
    #: Key of its HTTP API.
    api_key: str
    #: Bytes of events that wait while roomcast is away. The oldest are dropped over it.
    queue_bytes_max: int = 64 << 20
    #: Seconds that waiting events are kept after roomcast has been started anew, until its clients are back.
    settle_seconds: float = 5.0
    #: Seconds that a read of members, sessions or usage may take.
    read_timeout: float = 1.0

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> "Settings":
        """Reads the environment.

        :raises RuntimeError: a variable is missing, or its value cannot be used.
        """
        url = variables.get("ROOMCAST_URL", "").rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise RuntimeError("ROOMCAST_URL has to be the address of roomcast, such as http://127.0.0.1:8080")
        key = variables.get("ROOMCAST_API_KEY", "")
        if not key:
            raise RuntimeError("ROOMCAST_API_KEY has to be the key that roomcast has in the variable of that name")
        return cls(
            url=url,
            api_key=key,
            queue_bytes_max=int(_number(variables, "ROOMCAST_QUEUE_MIB", 64) * (1 << 20)),
            settle_seconds=_number(variables, "ROOMCAST_SETTLE_SECONDS", 5.0),
            read_timeout=_number(variables, "ROOMCAST_READ_SECONDS", 1.0),
        )


def _number(variables: Mapping[str, str], name: str, default: float) -> float:
    text = variables.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise RuntimeError(f"{name} has to be a number, not below 0")
    return value
