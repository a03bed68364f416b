"""The queue, alone."""

from roomcast_openwebui.outbox import BATCH_STEPS_MAX, STEP_BYTES_MAX, WINDOW, Batch, Outbox, Request


def test_steps_go_in_batches_between_requests():
    outbox = Outbox(10_000)
    for step in (b"1", b"2"):
        outbox.put(step)
    outbox.put_request(Request(1, "members", b"{}"))
    outbox.put(b"3")
    first, request, second = outbox.take(), outbox.take(), outbox.take()
    assert (first.number, first.steps, first.body) == (1, 2, b'{"requests":[1,2]}')
    assert request == Request(1, "members", b"{}")
    assert (second.number, second.body, outbox.take()) == (2, b'{"requests":[3]}', None)


def test_what_was_not_taken_is_sent_again():
    outbox = Outbox(10_000)
    for step in (b"1", b"2", b"3"):
        outbox.put(step)
        outbox.take()
    outbox.taken(1)
    assert [batch.number for batch in outbox.resume(2)] == [3]
    assert [batch.number for batch in outbox.resume(0)] == [3]
    outbox.taken(3)
    outbox.taken(3)
    assert list(outbox.resume(0)) == [] and len(outbox) == 0


def test_a_window_and_sizes_bound_what_is_under_way():
    outbox = Outbox(10_000_000)
    for _ in range(BATCH_STEPS_MAX * WINDOW + 1):
        outbox.put(b"1")
    batches = [outbox.take() for _ in range(WINDOW + 1)]
    assert batches[-1] is None and {batch.steps for batch in batches[:-1]} == {BATCH_STEPS_MAX}
    outbox.taken(1)
    assert isinstance(outbox.take(), Batch)


def test_the_oldest_steps_are_dropped_and_no_request():
    outbox = Outbox(10)
    outbox.put_request(Request(1, "members", b"{}"))
    assert [outbox.put(b"%d" % n * 4) for n in range(4)] == [0, 0, 1, 1]
    assert outbox.put(b"x" * (STEP_BYTES_MAX + 1)) == 1 and outbox.dropped == 3
    assert outbox.take_request() == Request(1, "members", b"{}") and outbox.take_request() is None
    assert outbox.take().body == b'{"requests":[2222,3333]}'
    outbox.put_request(Request(2, "usage", b"{}"))
    assert outbox.drop_requests() == [Request(2, "usage", b"{}")] and outbox.take() is None
