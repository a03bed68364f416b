#!/usr/bin/env python3
"""CPU time of the program's threads for the same work in one shard and in two.

    cargo build --release -p roomcast-server && python3 benches/shards.py target/release/roomcast

What one core of a machine with free cores could carry is bounded by the busiest thread: the gain is the CPU time of the one
shard over that of the busier of two. CPU time is taken from /proc, so that the load generator, which shares the cores, does
not count. Owns: the load and the arithmetic. Must never know: what is inside the program.
"""
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time

CLIENTS, ROUNDS, BATCHES, BATCH = 1000, 7, 20, 32
KEY = "the-key-of-the-http-api"
DATA = "x" * 100


class Server:
    def __init__(self, program, shards, folder):
        variables = {"WEBUI_SECRET_KEY": "a-secret-of-a-bench", "ROOMCAST_API_KEY": KEY, "DATA_DIR": folder}
        flags = ["--store", "own", "--port", "0", "--shards", str(shards)]
        self.process = subprocess.Popen([program, *flags], env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        line = self.process.stdout.readline().decode()
        self.address = ("127.0.0.1", int(line.split("//")[1].split("/")[0].split(":")[1]))
        self.clients, self.sids = [], []
        self.selector = selectors.DefaultSelector()
        for _ in range(CLIENTS):
            self.join()
        self.apis = [socket.create_connection(self.address) for _ in range(2)]

    def join(self):
        client = socket.create_connection(self.address)
        client.sendall(
            b"GET /ws/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        got = b""
        while b'"sid"' not in got:
            got += client.recv(4096)
        client.sendall(b"\x81\x82\0\0\0\0" + b"40")
        got = b""
        while b"}" not in got:
            got += client.recv(4096)
        self.sids.append(got.decode("latin1").split('"sid":"')[1].split('"')[0])
        client.setblocking(False)
        self.selector.register(client, selectors.EVENT_READ)
        self.clients.append(client)

    def post(self, turn, route, body):
        api, body = self.apis[turn % 2], json.dumps(body).encode()
        head = f"POST {route} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
        api.sendall(head.encode() + body)
        got = b""
        while b"\r\n\r\n" not in got:
            got += api.recv(65536)
        head, rest = got.split(b"\r\n\r\n", 1)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(rest) < length:
            rest += api.recv(65536)
        assert head.startswith(b"HTTP/1.1 200"), (head, rest)

    def drain(self, wanted):
        while wanted > 0:
            for key, _ in self.selector.select():
                try:
                    wanted -= len(key.fileobj.recv(1 << 20))
                except BlockingIOError:
                    pass
        assert wanted == 0, wanted

    def cpu(self):
        """Nanoseconds on a core, by thread."""
        tasks = f"/proc/{self.process.pid}/task"
        return {task: int(open(f"{tasks}/{task}/schedstat").read().split()[0]) for task in os.listdir(tasks)}

    def measure(self, bodies, wanted, paced):
        before, at = self.cpu(), time.monotonic()
        for turn, body in enumerate(bodies):
            self.post(turn, "/api/batch", body)
            if paced:
                self.drain(wanted)
        if not paced:
            self.drain(wanted * len(bodies))
        used, wall = self.cpu(), time.monotonic() - at
        spans = sorted((used[task] - before.get(task, 0) for task in used), reverse=True)
        return spans[0], sum(spans), wall

    def end(self):
        self.process.kill()
        self.process.wait()


def frame_bytes(data):
    length = len(json.dumps(["message", data], separators=(",", ":"))) + 2
    return length + (2 if length < 126 else 4)


def work(kind, server):
    def emit(place):
        to = {"all": True} if kind == "all" else {"session": server.sids[(37 * place) % CLIENTS]}
        return {"route": "emit", "body": {"to": to, "event": "message", "data": DATA}}

    emits = [[emit(batch * BATCH + step) for step in range(BATCH)] for batch in range(BATCHES)]
    receivers = CLIENTS if kind == "all" else 1
    return [{"requests": batch} for batch in emits], BATCH * receivers * frame_bytes(DATA)


def main(program):
    everyone = f"to {CLIENTS} members on all shards"
    for kind, paced, name in [
        ("all", True, f"{everyone}, {BATCH} in flight"),
        ("all", False, f"{everyone}, without a pause"),
        ("one", False, "to one session each, without a pause"),
    ]:
        results = {1: [], 2: []}
        for _ in range(ROUNDS):
            for shards in results:
                with tempfile.TemporaryDirectory() as folder:
                    server = Server(program, shards, folder)
                    work_of = work(kind, server)
                    server.measure(*work_of, paced)
                    results[shards].append(server.measure(*work_of, paced))
                    server.end()
        print(f"{BATCHES * BATCH} emits {name}:")
        for shards, rounds in results.items():
            busiest, total, wall = (statistics.median(column) for column in zip(*rounds))
            print(f"  {shards} shard(s): busiest thread {busiest / 1e6:.1f} ms, all {total / 1e6:.1f} ms, wall {wall:.2f} s")
        gains = [one[0] / two[0] for one, two in zip(results[1], results[2])]
        costs = [two[1] / one[1] for one, two in zip(results[1], results[2])]
        print(f"  gain by the busiest thread {statistics.median(gains):.2f} ({min(gains):.2f}-{max(gains):.2f})")
        print(f"  CPU of two over one {statistics.median(costs):.2f} ({min(costs):.2f}-{max(costs):.2f})")


main(sys.argv[1])
