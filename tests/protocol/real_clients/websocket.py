"""WebSocket by the `websockets` package, on both ends.

websocket.py serve            an echo server; prints its port
websocket.py talk URI [CA]    every case through URI; ends with 1 when one of them fails
"""

import asyncio
import os
import ssl
import sys

import websockets


async def echo(socket, path=None):
    try:
        async for message in socket:
            if message == "leave":
                await socket.close(4001, "as asked")
                return
            if message == "drop":
                socket.transport.abort()
                return
            await socket.send(message)
    except websockets.ConnectionClosed:
        pass


async def serve():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None, subprotocols=["chat.v2", "chat.v1"]) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


def talk(uri, ca):
    more = {"max_size": None, "ping_interval": None}
    if ca:
        more["ssl"] = ssl.create_default_context(cafile=ca)

    def connect(**options):
        return websockets.connect(uri, **more, **options)

    async def text_and_sizes():
        async with connect(compression=None) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
            for size in (0, 1, 125, 126, 65535, 65536, 1 << 20, 4 << 20):
                message = os.urandom(size)
                await socket.send(message)
                assert await socket.recv() == message, size

    async def compression():
        async with connect() as socket:
            assert socket.extensions, "permessage-deflate was not agreed on"
            await socket.send("x" * 1_000_000)
            assert await socket.recv() == "x" * 1_000_000

    async def subprotocol():
        async with connect(subprotocols=["other", "chat.v1"]) as socket:
            assert socket.subprotocol == "chat.v1", socket.subprotocol

    async def fragments():
        async with connect() as socket:
            await socket.send([b"%d," % part for part in range(100)])
            assert await socket.recv() == b"".join(b"%d," % part for part in range(100))

    async def pings():
        async with connect() as socket:
            for _ in range(10):
                await (await socket.ping())

    async def the_client_closes():
        socket = await connect()
        await socket.close(3999, "bye")
        assert (socket.close_code, socket.close_reason) == (3999, "bye"), socket.close_code

    async def the_server_closes():
        socket = await connect()
        await socket.send("leave")
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            assert (closed.code, closed.reason) == (4001, "as asked"), closed
        else:
            raise AssertionError("it is still open")

    async def the_server_is_lost():
        socket = await connect()
        await socket.send("drop")
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            assert closed.code in (1006, None), closed
        else:
            raise AssertionError("it is still open")

    async def many_at_once():
        async def one(name):
            async with connect() as socket:
                for turn in range(10):
                    await socket.send(f"{name}/{turn}")
                    assert await socket.recv() == f"{name}/{turn}"

        await asyncio.gather(*(one(name) for name in range(30)))

    async def both_ways_at_once():
        async with connect(compression=None) as socket:
            message = os.urandom(256 * 1024)

            async def write():
                for _ in range(16):
                    await socket.send(message)

            async def read():
                for _ in range(16):
                    assert await socket.recv() == message

            await asyncio.gather(write(), read())

    async def a_path_without_websocket():
        try:
            await websockets.connect(uri.replace("/socket", "/plain"), **more)
        except websockets.InvalidStatusCode as refused:
            assert refused.status_code == 200, refused
        else:
            raise AssertionError("it was upgraded")

    cases = [
        text_and_sizes,
        compression,
        subprotocol,
        fragments,
        pings,
        the_client_closes,
        the_server_closes,
        the_server_is_lost,
        many_at_once,
        both_ways_at_once,
        a_path_without_websocket,
    ]
    return run(cases)


def run(cases):
    failed = 0
    for case in cases:
        try:
            asyncio.run(asyncio.wait_for(case(), 30))
        except Exception as error:
            failed += 1
            print(f"{case.__name__}: {type(error).__name__}: {error}")
    print(f"{len(cases)} cases, {failed} failed")
    return failed


if sys.argv[1] == "serve":
    asyncio.run(serve())
else:
    sys.exit(1 if talk(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None) else 0)
