#!/usr/bin/env python3
"""CPU time of the program for streams of tokens that come over Redis, each for one user's room, in one shard and in two.

    cargo build --release -p roomcast-server && python3 benches/stream.py target/release/roomcast

The wanted load is 200 tokens a second for each of 1,000 users. What a machine with free cores can carry follows from the CPU time
of the busiest thread; the load generator and Redis share the cores here, so that the wall time says less. Needs
redis-server. Owns: the load and the arithmetic. Must never know: what is inside the program.
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

USERS, ROUNDS, TOKENS = 1000, 5, 40
WANTED_PER_SECOND = 200 * USERS


def threads(pid):
    """Nanoseconds on a core, by thread."""
    tasks = f"/proc/{pid}/task"
    return {
        (task, open(f"{tasks}/{task}/comm").read().strip()): int(open(f"{tasks}/{task}/schedstat").read().split()[0])
        for task in os.listdir(tasks)
    }


class Redis:
    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        flags = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(["redis-server", *flags], stdout=subprocess.DEVNULL)
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", self.port))
                return
            except ConnectionRefusedError:
                time.sleep(0.05)

    def publish(self, commands, count):
        """Sends commands in one go; how many processes have heard each."""
        self.socket.sendall(commands)
        got, heard = b"", []
        while len(heard) < count:
            got += self.socket.recv(1 << 20)
            *whole, got = got.split(b"\r\n")
            heard += whole
        return heard

    def end(self):
        self.process.kill()
        self.process.wait()


class Program:
    def __init__(self, program, shards, redis, folder):
        variables = {
            "WEBUI_SECRET_KEY": "a-secret-of-a-bench",
            "DATA_DIR": folder,
            "WEBSOCKET_MANAGER": "redis",
            "WEBSOCKET_REDIS_URL": f"redis://127.0.0.1:{redis.port}/0",
        }
        flags = ["--store", "own", "--port", "0", "--shards", str(shards)]
        self.process = subprocess.Popen([program, *flags], env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        line = self.process.stdout.readline().decode()
        self.address = ("127.0.0.1", int(line.split("//")[1].split("/")[0].split(":")[1]))
        self.selector, self.sids = selectors.DefaultSelector(), []
        for _ in range(USERS):
            self.join()
        while set(redis.publish(publish("nowhere", 0), 1)) != {b":%d" % shards}:
            time.sleep(0.05)

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

    def drain(self, wanted):
        while wanted > 0:
            for key, _ in self.selector.select():
                try:
                    wanted -= len(key.fileobj.recv(1 << 20))
                except BlockingIOError:
                    pass
        assert wanted == 0, wanted

    def end(self):
        self.process.kill()
        self.process.wait()


def token(number):
    content = {"type": "chat:completion", "data": {"content": "x" * 40, "done": False, "number": number}}
    return {"chat_id": "c" * 36, "message_id": "m" * 36, "data": content}


def publish(room, number):
    """As python-socketio 5.16 publishes an emit to a room."""
    message = {
        "method": "emit", "event": "events", "data": token(number), "binary": False, "namespace": "/", "room": room,
        "skip_sid": None, "callback": None, "host_id": "0" * 32,
    }
    text = json.dumps(message).encode()
    return b"*3\r\n$7\r\nPUBLISH\r\n$8\r\nsocketio\r\n$%d\r\n%s\r\n" % (len(text), text)


def frame_bytes():
    """The event is passed on as it came, blanks and all."""
    return len('42["events",]') + len(json.dumps(token(1000))) + 4


def measure(program, redis, at_once):
    commands = b"".join(publish(sid, 1000) for sid in program.sids)
    before, redis_before, at = threads(program.process.pid), threads(redis.process.pid), time.monotonic()
    for _ in range(TOKENS // at_once):
        redis.publish(commands * at_once, USERS * at_once)
        program.drain(USERS * at_once * frame_bytes())
    wall = time.monotonic() - at
    used = threads(program.process.pid)
    spans = {name: used[name] - before.get(name, 0) for name in used}
    redis_used = sum(threads(redis.process.pid).values()) - sum(redis_before.values())
    tokens = USERS * TOKENS
    return [value / tokens / 1000 for value in (max(spans.values()), sum(spans.values()), redis_used, wall * 1e9)]


def compare(path, at_once):
    """`at_once`: tokens for each user before the next are published, which can be written together."""
    results = {1: [], 2: []}
    for _ in range(ROUNDS):
        for shards, rounds in results.items():
            redis = Redis()
            with tempfile.TemporaryDirectory() as folder:
                program = Program(path, shards, redis, folder)
                measure(program, redis, at_once)
                rounds.append(measure(program, redis, at_once))
                program.end()
            redis.end()
    load = os.getloadavg()[0]
    print(f"{USERS * TOKENS} tokens to {USERS} rooms of one member, {at_once} at once, us of CPU per token, {ROUNDS} rounds, load {load:.1f}:")
    for shards, rounds in results.items():
        busiest, total, of_redis, wall = (statistics.median(column) for column in zip(*rounds))
        low, high = min(row[0] for row in rounds), max(row[0] for row in rounds)
        print(f"  {shards} shard(s): busiest thread {busiest:.2f} ({low:.2f}-{high:.2f}), all threads {total:.2f}, Redis "
              f"{of_redis:.2f}, wall {wall:.2f}; {WANTED_PER_SECOND} tokens a second take {busiest * WANTED_PER_SECOND / 1e6:.2f} "
              f"of a core for the busiest thread, {total * WANTED_PER_SECOND / 1e6:.2f} cores in all")
    gains = [one[0] / two[0] for one, two in zip(results[1], results[2])]
    print(f"  gain by the busiest thread {statistics.median(gains):.2f} ({min(gains):.2f}-{max(gains):.2f})")


for at_once in (10, 1):
    compare(sys.argv[1], at_once)
