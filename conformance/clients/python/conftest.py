"""Fixtures: servers, and a maker of clients that are closed when their test is over."""

import itertools
import json
import os

import pytest

from peers import KINDS, Peer
from server import STEADY, SUITE, Server

_namespaces = itertools.count(os.getpid() % 100_000 * 1000 + 500)


@pytest.fixture(scope="session")
def url():
    """A server whose heartbeats no busy machine fails."""
    if named := os.environ.get("ROOMCAST_URL"):
        yield named
        return
    server = Server(STEADY)
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def suite_url():
    """A server whose heartbeats can be waited for."""
    server = Server(SUITE)
    yield server.url
    server.stop()


@pytest.fixture
def start_server():
    servers = []

    def start(profile, port=None):
        servers.append(Server(profile, port))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def peers():
    """Makes clients, connected unless asked otherwise."""
    made = []

    def make(kind, url, connect=True, **options):
        peer = Peer(kind, url, **options)
        made.append(peer)
        return peer.connect() if connect else peer

    yield make
    for peer in made:
        peer.close()


@pytest.fixture
def namespace():
    """A namespace in which no other test of any process is."""
    return f"/dyn-{next(_namespaces)}"


@pytest.fixture(params=KINDS, ids=["-".join(kind) for kind in KINDS])
def kind(request):
    return request.param


def pytest_collection_modifyitems(items):
    """A test that is listed as a deviation must fail; the list would be stale otherwise."""
    path = os.environ.get("ROOMCAST_DEVIATIONS")
    if not path:
        return
    with open(path, encoding="utf-8") as file:
        listed = json.load(file).get("python", {})
    for item in items:
        if reason := listed.get(item.name):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    unused = listed.keys() - {item.name for item in items}
    if unused:
        raise pytest.UsageError(f"deviations that name no test: {sorted(unused)}")
