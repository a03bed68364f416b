"""The address that browsers use: Socket.IO goes to roomcast, everything else to the backend, as a proxy in front does it."""

import asyncio

import aiohttp
from aiohttp import web


class Front:
    """A reverse proxy on a port of its own."""

    def __init__(self, stage):
        self.stage = stage

    async def start(self):
        self.session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"

    async def stop(self):
        await self._runner.cleanup()
        await self.session.close()

    async def _forward(self, request):
        if request.path.startswith("/ws/socket.io"):
            return await self._socket(request)
        try:
            return await self._ask(request)
        except ConnectionResetError:
            # The page has gone meanwhile.
            return web.Response(status=499)

    async def _ask(self, request):
        url = self.stage.backend_url + request.path_qs
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        body = await request.read()
        async with self.session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response

    async def _socket(self, request):
        client = web.WebSocketResponse(max_msg_size=0)
        await client.prepare(request)
        url = self.stage.roomcast_url + request.path_qs
        try:
            async with self.session.ws_connect(url, max_msg_size=0) as server:
                ways = [asyncio.ensure_future(pump(*way)) for way in ((client, server), (server, client))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        except aiohttp.ClientError:
            pass
        await client.close()
        return client


async def pump(source, target):
    async for message in source:
        if message.type == aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)
        elif message.type == aiohttp.WSMsgType.BINARY:
            await target.send_bytes(message.data)
    await target.close()


#: Header fields that are of one connection.
HOP = {"connection", "host", "keep-alive", "transfer-encoding", "content-length", "upgrade"}
