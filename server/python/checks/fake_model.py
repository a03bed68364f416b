"""A model server that speaks OpenAI's protocol, and a receiver of webhooks.

Its answer depends on what it is asked: the last message of the user is `say N` for N words, `slow N` for N words a tenth of a
second apart, anything else is echoed.
"""

import asyncio
import json
import time

from aiohttp import web


class FakeModel:
    """Serves ``/v1`` and ``/hook`` on a port of its own."""

    def __init__(self):
        self.hooks = []
        self.asked = []

    async def start(self):
        app = web.Application(client_max_size=64 << 20)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_post("/hook/{user}", self._hook)
        # Pages ask it as well, for direct connections.
        app.router.add_route("OPTIONS", "/{path:.*}", self._allow)
        app.on_response_prepare.append(self._let_pages_read)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def stop(self):
        await self._runner.cleanup()

    async def _allow(self, _):
        return web.Response(status=204)

    @staticmethod
    async def _let_pages_read(_, response):
        for what in ("Origin", "Headers", "Methods"):
            response.headers[f"Access-Control-Allow-{what}"] = "authorization, content-type" if what == "Headers" else "*"

    async def _models(self, _):
        model = {"id": "fake", "object": "model", "created": 1, "owned_by": "fake"}
        return web.json_response({"object": "list", "data": [model]})

    async def _hook(self, request):
        self.hooks.append((request.match_info["user"], await request.json()))
        return web.json_response({})

    async def _complete(self, request):
        body = await request.json()
        self.asked.append(body)
        text, pause = answer(body["messages"])
        if not body.get("stream"):
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return web.json_response({"id": "c", "object": "chat.completion", "model": "fake", "choices": [choice]})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for line in lines(text):
            if pause:
                await asyncio.sleep(pause)
            await response.write(line.encode() + b"\n\n")
        return response


def answer(messages):
    """The text, and the seconds before each of its words."""
    content = messages[-1]["content"]
    content = content if isinstance(content, str) else content[0]["text"]
    if "title" in content.lower() and "###" in content:
        return json.dumps({"title": "A title"}), 0
    for word, pause in (("say ", 0), ("slow ", 0.1)):
        if content.startswith(word):
            return " ".join(f"w{number}" for number in range(int(content.split()[1]))), pause
    return f"echo: {content}", 0


def lines(text):
    """A text as lines of a stream, one for each word."""
    words = text.split(" ")
    for index, word in enumerate(words):
        content = word if index == len(words) - 1 else word + " "
        yield "data: " + json.dumps(chunk({"content": content}))
    yield "data: " + json.dumps(chunk({}, "stop"))
    yield "data: [DONE]"


def chunk(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": int(time.time()), "model": "fake", "choices": [choice]}
