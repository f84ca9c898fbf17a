"""Which version a connection speaks: by its first bytes, or by what TLS agreed on."""

from __future__ import annotations

import asyncio
import json

import pytest

from mizzen.http.exchange import Exchange
from mizzen.http.server import Limits
from mizzen.http.sniff import offer_http2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"


def version(exchange: Exchange) -> None:
    exchange.respond(200, exchange.version.encode())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 23, 24, 25, 33])
async def test_the_preface_may_come_in_pieces_of_any_size(serve, peer, size):
    _, port = await serve(version)
    client = await peer(port, None)
    client.acks = False  # an acknowledgement must not come between the pieces
    data = PREFACE + SETTINGS
    for at in range(0, len(data), size):
        client.raw(data[at : at + size])
        await asyncio.sleep(0.001)
    client.request(1)
    assert (await client.answer(1)).body == b"2"


async def test_everything_in_one_piece(serve, peer):
    _, port = await serve(version)
    client = await peer(port, None)
    client.raw(PREFACE + SETTINGS + b"\0\0\6\1\5\0\0\0\1\x82\x86\x84\x41\x01a")
    assert (await client.answer(1)).body == b"2"


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PRI", "PATCH", "PROPFIND"])
async def test_http_1_in_pieces_of_any_size(serve, connect, method, size):
    _, port = await serve(version)
    raw = await connect(port)
    data = f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    for at in range(0, len(data), size):
        raw.send(data[at : at + size])
        await asyncio.sleep(0)
    answer = await raw.answer()
    assert (answer.status, answer.body) == (200, b"1.1") if method != "PRI" else answer.status in (400, 505)


@pytest.mark.parametrize(
    "data",
    [b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI * HTTP/2.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n"],
)
async def test_what_is_neither_is_refused_in_http_1(serve, connect, data):
    _, port = await serve(version)
    raw = await connect(port)
    raw.send(data)
    answer = await raw.answer()
    assert answer.status in (400, 505)
    assert json.loads(answer.body)["error"]
    assert await raw.ended()


async def test_an_offer_to_upgrade_is_passed_over(serve, connect):
    _, port = await serve(version)
    raw = await connect(port)
    raw.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
    )
    answer = await raw.answer()
    assert (answer.status, answer.body) == (200, b"1.1")


async def test_a_server_that_does_not_speak_it_says_so(start, connect):
    _, port = await start(version)
    raw = await connect(port)
    raw.send(PREFACE)
    assert (await raw.answer()).status == 505


@pytest.mark.parametrize("part", ["PRI * ", "PRI * HTTP/2.0\r\n\r\nSM"])
async def test_a_beginning_that_is_cut_off_is_answered_in_http_1(serve, connect, eventually, part):
    server, port = await serve(version)
    raw = await connect(port)
    raw.send(part)
    await asyncio.sleep(0.02)
    raw.writer.write_eof()
    assert (await raw.answer()).status in (400, 505)
    raw.close()
    await eventually(lambda: server.connections == 0)


async def test_connections_that_say_nothing_leave_nothing(serve, connect, eventually):
    server, port = await serve(version)
    for how in ("close", "reset"):
        for begun in ("", "PRI"):
            raw = await connect(port)
            raw.send(begun)
            await asyncio.sleep(0.01)
            getattr(raw, how)()
    await eventually(lambda: server.connections == 0)


@pytest.mark.parametrize(
    ("offered", "agreed", "speaks"),
    [
        (["h2", "http/1.1"], "h2", "2"),
        (["h2"], "h2", "2"),
        (["http/1.1"], "http/1.1", "1.1"),
        (["other"], None, "1.1"),
        (None, None, "1.1"),
        (None, None, "2"),
    ],
)
async def test_tls_agrees_on_the_version(serve, contexts, peer, offered, agreed, speaks):
    server_context, client_context = contexts()
    offer_http2(server_context)
    if offered:
        client_context.set_alpn_protocols(offered)
    server, _ = await serve(version)
    [(_, port)] = await server.listen("127.0.0.1", 0, ssl=server_context)
    client = await peer(port, {} if speaks == "2" else None, ssl=client_context, server_hostname="localhost")
    tls = client.writer.get_extra_info("ssl_object")
    assert tls.selected_alpn_protocol() == agreed
    if speaks == "2":
        client.request(1, scheme="https")
        assert (await client.answer(1)).body == b"2"
    else:
        client._task.cancel()
        await asyncio.gather(client._task, return_exceptions=True)
        client.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(10):
            head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200") and await client.reader.readexactly(3) == b"1.1"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI", b""])
async def test_who_agrees_on_http_2_must_speak_it(serve, contexts, peer, eventually, data):
    server_context, client_context = contexts()
    offer_http2(server_context)
    offer_http2(client_context)
    server, _ = await serve(version, Limits(head_timeout=0.3, keep_alive=0.3))
    [(_, port)] = await server.listen("127.0.0.1", 0, ssl=server_context)
    client = await peer(port, None, ssl=client_context, server_hostname="localhost")
    client.raw(data)
    assert await client.ended()
    client.close()
    await eventually(lambda: server.connections == 0)


async def test_large_messages_through_tls(serve, contexts, peer):
    server_context, client_context = contexts()
    offer_http2(server_context)
    offer_http2(client_context)
    server, _ = await serve(lambda exchange: exchange.respond(200, exchange.body * 40))
    [(_, port)] = await server.listen("127.0.0.1", 0, ssl=server_context)
    options = {"ssl": client_context, "server_hostname": "localhost"}
    client = await peer(port, {"INITIAL_WINDOW_SIZE": 2**31 - 1}, **options)
    client.window(0, 2**30)
    client.request(1, end=False)
    for turn in range(10):
        client.data(1, bytes([turn]) * 16_000, end=turn == 9)
    body = b"".join(bytes([turn]) * 16_000 for turn in range(10))
    assert (await client.answer(1)).body == body * 40
    assert await server.close(5)
    assert await client.ended()
