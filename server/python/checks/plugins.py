"""Functions that the checks install into Open WebUI: models which emit and call as plugins do."""

EVENTS = '''
"""
title: events
"""

class Pipe:
    async def pipe(self, body, __event_emitter__=None, __event_call__=None, __metadata__=None):
        what = body["messages"][-1]["content"]
        if what == "statuses":
            for number in range(5):
                await __event_emitter__(
                    {"type": "status", "data": {"description": f"step {number}", "done": number == 4}}
                )
            return "done"
        if what == "contents":
            await __event_emitter__({"type": "message", "data": {"content": "A"}})
            await __event_emitter__({"type": "message", "data": {"content": "hello"}})
            return ""
        if what == "replaced":
            await __event_emitter__({"type": "replace", "data": {"content": "replaced"}})
            return "replaced"
        if what == "citations":
            for number in range(2):
                await __event_emitter__(
                    {
                        "type": "citation",
                        "data": {
                            "document": [f"text {number}"],
                            "metadata": [{"source": f"s{number}"}],
                            "source": {"name": f"s{number}"},
                        },
                    }
                )
            return "cited"
        if what == "files":
            await __event_emitter__({"type": "files", "data": {"files": [{"type": "image", "url": "/f.png"}]}})
            return "filed"
        if what == "notification":
            await __event_emitter__({"type": "notification", "data": {"type": "info", "content": "ping"}})
            return "notified"
        if what in ("input", "confirmation", "execute"):
            import time
            began = time.monotonic()
            try:
                answer = await __event_call__({"type": what, "data": {"title": "?", "message": "?"}})
                return f"answer: {answer!r}"
            except Exception as error:
                return f"failed: {type(error).__name__} after {int(time.monotonic() - began)} s"
        if what == "thread":
            import asyncio, threading

            done = []
            def run():
                asyncio.run(__event_emitter__({"type": "status", "data": {"description": "thread", "done": True}}))
                done.append(1)

            thread = threading.Thread(target=run)
            thread.start()
            while not done:
                await asyncio.sleep(0.01)
            return "done"
        return "?"
'''
