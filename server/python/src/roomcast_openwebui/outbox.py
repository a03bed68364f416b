"""What waits to be sent to roomcast.

Owns: the order, the bound, and what has been sent and not been taken. Must never know: a connection, a clock.
"""

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Iterator, Optional, Union

from . import wire


@dataclass(frozen=True)
class Request:
    """Asks for a reply, and is never sent twice."""

    id: int
    route: str
    body: bytes


@dataclass(frozen=True)
class Batch:
    """Steps in order under a number, which is taken once."""

    number: int
    steps: int
    body: bytes


class Outbox:
    """Steps (emits, rooms) and requests, filled by any thread and emptied by one.

    Steps outlive a connection, requests do not.
    """

    def __init__(self, bytes_max: int) -> None:
        self._lock = threading.Lock()
        self._bytes_max = bytes_max
        self._waiting: deque[Union[bytes, Request]] = deque()
        self._bytes = 0
        self._sent: OrderedDict[int, Batch] = OrderedDict()
        self._number = 0
        #: Steps dropped since the start, because they were too many or too large.
        self.dropped = 0

    def put(self, step: bytes) -> int:
        """Appends a step, and drops the oldest over the bound. How many were dropped."""
        with self._lock:
            if len(step) > STEP_BYTES_MAX:
                self.dropped += 1
                return 1
            self._waiting.append(step)
            self._bytes += len(step)
            dropped = 0
            while self._bytes > self._bytes_max and self._drop_oldest():
                dropped += 1
            self.dropped += dropped
            return dropped

    def put_request(self, request: Request) -> None:
        with self._lock:
            self._waiting.append(request)

    def take(self) -> Optional[Union[Batch, Request]]:
        """The next request, or the steps before it in one batch; ``None`` if nothing waits, or enough is under way."""
        with self._lock:
            if not self._waiting:
                return None
            if isinstance(self._waiting[0], Request):
                return self._waiting.popleft()
            if len(self._sent) >= WINDOW:
                return None
            steps: list[bytes] = []
            size = 0
            while self._waiting and isinstance(self._waiting[0], bytes):
                if steps and (len(steps) >= BATCH_STEPS_MAX or size + len(self._waiting[0]) > BATCH_BYTES):
                    break
                step = self._waiting.popleft()
                size += len(step)
                steps.append(step)
            self._bytes -= size
            self._number += 1
            batch = Batch(self._number, len(steps), wire.batch(steps))
            self._sent[batch.number] = batch
            return batch

    def take_request(self) -> Optional[Request]:
        """The first request, past the steps before it."""
        with self._lock:
            for index, item in enumerate(self._waiting):
                if isinstance(item, Request):
                    del self._waiting[index]
                    return item
            return None

    def taken(self, number: int) -> None:
        """A batch has been carried out."""
        with self._lock:
            self._sent.pop(number, None)

    def resume(self, taken: int) -> Iterator[Batch]:
        """After a new connection: the batches that were sent and, as the other side says, not taken."""
        with self._lock:
            for number in [number for number in self._sent if number <= taken]:
                del self._sent[number]
            return iter(list(self._sent.values()))

    def drop_requests(self) -> list[Request]:
        """Those that have not been sent."""
        with self._lock:
            requests = [item for item in self._waiting if isinstance(item, Request)]
            self._waiting = deque(item for item in self._waiting if isinstance(item, bytes))
            return requests

    def __len__(self) -> int:
        """Steps and requests that wait, and batches that have not been taken."""
        with self._lock:
            return len(self._waiting) + len(self._sent)

    def _drop_oldest(self) -> bool:
        for index, item in enumerate(self._waiting):
            if isinstance(item, bytes):
                del self._waiting[index]
                self._bytes -= len(item)
                return True
        return False


#: Length of one step: roomcast's largest message and what stands around it.
STEP_BYTES_MAX = (16 << 20) + (512 << 10)
#: Length of the steps of a batch, unless the first one is longer.
BATCH_BYTES = 512 << 10
#: Steps of a batch.
BATCH_STEPS_MAX = 512
#: Batches under way.
WINDOW = 16
