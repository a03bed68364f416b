"""python-socketio against the server: the same conversations blocking and asyncio, by each transport."""

import threading
import time

import engineio
import pytest
import socketio

from peers import KINDS
from server import STEADY, SUITE, WAIT_S
from tokens import token

MAX_PAYLOAD = STEADY["MAX_PAYLOAD"]


# --- events and acknowledgements --------------------------------------------------------------------


def test_auth_payload_comes_back(kind, url, peers):
    auth = {"token": "abc", "nested": {"list": [1, None, True]}}
    assert peers(kind, url, auth=auth).event("auth") == [auth]
    assert peers(kind, url).event("auth") == [{}]


def test_transport_is_the_one_asked_for(kind, url, peers):
    expected = "polling" if kind[1] == "polling" else "websocket"
    assert peers(kind, url).engine.transport() == expected


def test_events_carry_any_arguments(kind, url, peers):
    peer = peers(kind, url)
    for args in [[], [None], [1, "2", {"3": [True]}], [[], {}, "", 0, -1.5, False], [[[[[[]]]]]]]:
        peer.emit("message", *args)
        assert peer.event("message-back") == args


def test_server_acks(kind, url, peers):
    peer = peers(kind, url)
    assert peer.call("message-with-ack", 1, "2", {"3": [False]}) == [1, "2", {"3": [False]}]
    assert peer.call("message-with-ack") == []
    assert peer.call("echo", [None]) == [[None]]
    assert peer.call_upstream("echo", "x", timeout=10) == "x"


def test_client_acks(kind, url, peers):
    asked = []

    def answer(*args):
        asked.append(list(args))
        return 42, {"unit": "things"}, b"\x01\x02"

    peer = peers(kind, url, answer=answer)
    peer.emit("ask", "how many?", {"of": "what"})
    assert peer.event("ask-result") == [42, {"unit": "things"}, b"\x01\x02"]
    assert asked == [["how many?", {"of": "what"}]]


def test_unknown_event_times_out_and_disturbs_nothing(kind, url, peers):
    peer = peers(kind, url)
    with pytest.raises(socketio.exceptions.TimeoutError):
        peer.call_upstream("no such event", 1, timeout=0.2)
    assert peer.call("echo", "next") == ["next"]


def test_nested_binary(kind, url, peers):
    deep = {"first": b"\x00\x01\xfe\xff", "list": ["a", b"", {"inner": [b"\xc3\xbc", None]}], "large": b"\xa5" * 70_000}
    peer = peers(kind, url, answer=lambda *args: list(args))
    peer.emit("message", deep, "between", b"\x09")
    assert peer.event("message-back") == [deep, "between", b"\x09"]
    assert peer.call("message-with-ack", deep) == [deep]
    peer.emit("ask", deep)
    assert peer.event("ask-result") == [[deep]]


def test_unicode(kind, url, peers):
    strings = ["€ 𝄞 👩‍👩‍👧‍👦", "\ud800", "a\udfffb", "\u2028\u2029", "\0", "a\x1eb", '"\\/\b\f\n\r\t', "\x7f\x80\ufeff\uffff"]
    peer = peers(kind, url)
    peer.emit("message", *strings, {text: text for text in strings})
    assert peer.event("message-back") == [*strings, {text: text for text in strings}]
    room = strings[0]
    assert peer.call("join", room) == ["joined", room]
    assert peer.call("room-cast", room, strings[1]) == ["sent"]
    assert peer.event("room-event") == [room, strings[1]]


def test_1000_messages_in_order_each_way(kind, url, peers):
    peer = peers(kind, url)
    for i in range(1000):
        peer.emit("message", i, bytes([i % 256]) if i % 7 == 0 else None)
    peer.emit("burst", 1000)
    assert [i for i, _ in peer.events("message-back", 1000)] == list(range(1000))
    assert peer.events("seq", 1000) == [[i] for i in range(1000)]
    peer.call("echo", "the end")
    assert peer.untaken("message-back") + peer.untaken("seq") == 0


def test_volatile_is_neither_repeated_nor_out_of_order(kind, url, peers):
    peer = peers(kind, url)
    peer.emit("volatile", 500)
    assert peer.event("vol-done") == [500]
    came = [n for (n,) in peer.events("vol", peer.untaken("vol"))]
    assert came == sorted(set(came)) and set(came) <= set(range(500))


def test_max_payload(kind, url, peers):
    # Masking a megabyte takes Python longer than the suite profile waits for a pong.
    peer, bystander = peers(kind, url), peers(kind, url)
    filling = "x" * (MAX_PAYLOAD - len('42["message",""]'))
    peer.emit("message", filling)
    assert peer.event("message-back") == [filling]
    peer.emit("message", filling + "x")
    # A refused POST ends the client's writing; by long polling it notices at its next poll, which a ping may answer.
    assert peer.event("disconnect", wait_s=STEADY["PING_INTERVAL"] / 1000 + WAIT_S) == ["transport error"]
    assert bystander.call("echo", 1) == [1]


# --- namespaces -------------------------------------------------------------------------------------


def test_namespaces_share_a_connection(kind, url, peers):
    peer = peers(kind, url, namespaces=("/", "/custom", "/dyn-7"))
    sids = {peer.sid(name) for name in ("/", "/custom", "/dyn-7")}
    assert len(sids | {peer.engine.sid}) == 4
    for name in ("/", "/custom", "/dyn-7"):
        peer.emit("message", f"for {name}", namespace=name)
        assert peer.event("message-back", name) == [f"for {name}"]
        [who] = peer.call("whoami", namespace=name)
        assert (who["nsp"], who["sid"]) == (name, peer.sid(name))


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("/random", {"message": "Invalid namespace"}),
        ("/dyn-x", {"message": "Invalid namespace"}),
        ("/JWT", {"message": "Invalid namespace"}),
        ("/deny", {"message": "not authorized", "data": {"code": "E_AUTH"}}),
        ("/jwt", {"message": "unauthorized"}),
    ],
)
def test_refused_namespaces(kind, url, peers, name, error):
    peer = peers(kind, url, connect=False, namespaces=("/custom", name), auth={"token": token(secret="another")})
    peer.connect(wait=False)
    assert peer.event("connect_error", name) == [error]
    peer.event("connect", "/custom")
    assert peer.call("echo", 1, namespace="/custom") == [1]


def test_jwt_names_its_subject(kind, url, peers):
    peer = peers(kind, url, namespaces=("/jwt",), auth={"token": token()})
    assert peer.event("auth", "/jwt") == [{"sub": "ada"}]
    assert peer.call("echo", 1, namespace="/jwt") == [1]


def test_when_a_token_ends_its_socket_leaves(url, peers, namespace):
    auth = {"token": token(exp=int(time.time()) + 2)}
    everyone = [peers(kind, url, namespaces=("/jwt", namespace), auth=auth) for kind in KINDS]
    for peer in everyone:
        assert peer.event("disconnect", "/jwt") == ["server disconnect"]
        assert peer.call("echo", 1, namespace=namespace) == [1]


# --- rooms ------------------------------------------------------------------------------------------


def test_rooms(kind, url, peers, namespace):
    sender, member, stranger = (peers(kind, url, namespaces=(namespace,)) for _ in range(3))
    call = lambda peer, *args: peer.call(*args, namespace=namespace)
    assert call(sender, "room-cast", "r", 1) == ["denied"]
    assert call(sender, "join", 7) == ["error"]
    for peer in (sender, member):
        assert call(peer, "join", "r") == ["joined", "r"]
    assert call(sender, "room-cast", "r", 1, {"bytes": b"\x01"}) == ["sent"]
    for peer in (sender, member):
        assert peer.event("room-event", namespace) == ["r", 1, {"bytes": b"\x01"}]
    sender.emit("typing", "r", True, namespace=namespace)
    assert member.event("typing", namespace) == [True]
    assert call(member, "leave", "r") == ["left", "r"]
    assert call(sender, "room-cast", "r", 2) == ["sent"]
    assert sender.event("room-event", namespace) == ["r", 2]
    for peer in (member, stranger):
        call(peer, "echo", 1)
        assert peer.untaken("room-event", namespace) == 0
    assert sender.untaken("typing", namespace) + stranger.untaken("typing", namespace) == 0


def test_all_kinds_share_a_room(url, peers, namespace):
    everyone = [peers(kind, url, namespaces=(namespace,)) for kind in KINDS]
    for peer in everyone:
        peer.call("join", "all", namespace=namespace)
    for sender, peer in enumerate(everyone):
        for i in range(20):
            peer.emit("room-cast", "all", sender, i, namespace=namespace)
    heard = [peer.events("room-event", 20 * len(everyone), namespace) for peer in everyone]
    assert all(other == heard[0] for other in heard)
    for sender in range(len(everyone)):
        assert [i for _, who, i in heard[0] if who == sender] == list(range(20))
    everyone[0].emit("broadcast", "all", namespace=namespace)
    assert all(peer.event("broadcast", namespace) == ["all"] for peer in everyone)


# --- life and end of connections --------------------------------------------------------------------


def test_client_disconnects(kind, url, peers):
    peer = peers(kind, url)
    peer.disconnect()
    assert peer.event("disconnect") == ["client disconnect"]
    assert not peer.connected


def test_kick_ends_one_namespace(kind, url, peers, namespace):
    peer = peers(kind, url, namespaces=(namespace, "/custom"))
    peer.emit("kick", False, namespace="/custom")
    assert peer.event("disconnect", "/custom") == ["server disconnect"]
    assert peer.call("echo", 1, namespace=namespace) == [1]


def test_kick_ends_the_connection(kind, url, peers, namespace):
    peer = peers(kind, url, namespaces=(namespace, "/custom"))
    peer.emit("kick", True, namespace="/custom")
    # A polling client reads the close packet; a WebSocket is just gone.
    reason = "server disconnect" if kind[1] == "polling" else "transport error"
    for name in (namespace, "/custom"):
        assert peer.event("disconnect", name) == [reason]


def test_restart(kind, start_server, peers):
    first = start_server({"PING_INTERVAL": 5000, "PING_TIMEOUT": 5000})
    quickly = {"reconnection_delay": 0.05, "reconnection_delay_max": 0.1, "randomization_factor": 0}
    peer = peers(kind, first.url, reconnection=True, auth={"token": 1}, **quickly)
    assert peer.event("auth") == [{"token": 1}]
    before = peer.sid()
    assert peer.call("echo", "last words") == ["last words"]
    first.stop()
    [reason] = peer.event("disconnect")
    start_server(first.profile, first.port)
    if reason == "server disconnect":
        # Polling clients read the close packet as a wish of the server, and stay away by themselves.
        assert kind[1] == "polling"
        peer = peers(kind, first.url, auth={"token": 1})
    else:
        assert reason == "transport error"
        peer.event("connect")
    assert peer.event("auth") == [{"token": 1}]
    assert peer.sid() != before
    assert peer.call("echo", "first words") == ["first words"]


def test_connections_stay_over_several_heartbeats(suite_url, peers):
    everyone = [peers(kind, suite_url) for kind in KINDS]
    before = [peer.sid() for peer in everyone]
    # That time passes is what this test is about.
    time.sleep(5 * (SUITE["PING_INTERVAL"] + SUITE["PING_TIMEOUT"]) / 1000)
    assert [peer.sid() for peer in everyone] == before
    for peer in everyone:
        assert peer.call("echo", 1) == [1]
        assert peer.untaken("disconnect") == 0


# --- bare Engine.IO ---------------------------------------------------------------------------------


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="+".join)
def test_bare_engine_io_echoes_what_was_sent_before_the_upgrade(url, transports):
    """The one client here that can send before an upgrade: its connect handler runs ahead of it."""
    sent = [bytes([i]) if i % 5 == 0 else f"message {i}" for i in range(100)]
    came, complete = [], threading.Event()

    client = engineio.Client(handle_sigint=False)
    client.on("connect", lambda: [client.send(message) for message in sent])
    # Without threads of their own, messages keep their order.
    client._trigger_event = lambda event, *args, run_async=False, **_: client.handlers[event](*args) if event in client.handlers else None

    def receive(message):
        came.append(message)
        if len(came) == len(sent):
            complete.set()

    client.on("message", receive)
    client.connect(url, transports=transports, engineio_path="engine.io")
    try:
        assert complete.wait(10), f"{len(came)} of {len(sent)} messages within 10 s"
        assert came == sent
    finally:
        client.disconnect()
