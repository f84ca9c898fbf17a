"""Requests through the proxy: each goes where its own host and path say, and comes back as it was answered."""

import asyncio
import json

import pytest

from gateway_front import named, until
from gateway_objects import matching, ref


async def test_two_hosts_over_one_connection_get_two_services(front):
    await front.serving("a.example.com", named("a"))
    await front.serving("b.example.com", named("b"))
    raw = await front.connect()
    names = [(await raw.ask(host)).json["name"] for host in ("a.example.com", "B.example.com:1234", "a.example.com")]
    assert names == ["a", "b", "a"]


async def test_pipelined_requests_for_two_hosts_keep_their_order(front):
    gate = asyncio.Event()

    def slow(exchange):
        async def answer():
            await gate.wait()
            exchange.respond(200, b'{"name": "slow"}')

        exchange.spawn(answer())

    await front.serving("slow.example.com", slow)
    fast = await front.serving("fast.example.com", named("fast"))
    raw = await front.connect()
    raw.get("slow.example.com")
    raw.get("fast.example.com")
    await until(lambda: fast.connections)
    gate.set()
    assert [(await raw.answer()).json["name"], (await raw.answer()).json["name"]] == ["slow", "fast"]


async def test_connections_are_kept_on_both_sides(front):
    server = await front.serving("a.example.com", named("a"))
    raw = await front.connect()
    for _ in range(20):
        assert (await raw.ask("a.example.com")).status == 200
    assert server.connections == 1
    assert front.proxy.server.connections == 1


async def test_the_server_gets_what_the_client_asked(front):
    await front.serving("a.example.com", named("a"))
    raw = await front.connect()
    body = '{"instances": [[1]]}'
    raw.send(
        "POST /v1/models/a%20b:predict?x=1&y=%2F HTTP/1.1\r\nHost: a.example.com:8080\r\nX-Own: 1\r\nX-Own: 2\r\n"
        f"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    answer = await raw.answer()
    seen = answer.json
    headers = [tuple(pair) for pair in seen["headers"]]
    assert (seen["method"], seen["target"], seen["body"]) == ("POST", "/v1/models/a%20b:predict?x=1&y=%2F", body)
    assert headers[0] == ("host", "a.example.com:8080")
    assert [value for name, value in headers if name == "x-own"] == ["1", "2"]
    names = [name for name, _ in headers]
    assert "x-hop" not in names and "connection" not in names
    assert {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": "a.example.com:8080",
        "x-forwarded-proto": "http",
    }.items() <= dict(headers).items()
    assert len(dict(headers)["x-request-id"]) == 32


async def test_the_client_gets_what_the_server_answered(front):
    def handle(exchange):
        exchange.respond(418, b"short and stout", b"set-cookie: a\r\nset-cookie: b\r\nserver: teapot\r\nx-a: \xe9\r\n")

    await front.serving("a.example.com", handle)
    raw = await front.connect()
    raw.get("a.example.com")
    status, _, fields = await raw_fields(raw)
    assert status == 418
    assert [value for name, value in fields if name == b"set-cookie"] == [b"a", b"b"]
    assert dict(fields)[b"server"] == b"teapot"
    assert dict(fields)[b"x-a"] == b"\xe9"
    assert [name for name, _ in fields].count(b"date") == 1


async def raw_fields(raw):
    head = await raw.reader.readuntil(b"\r\n\r\n")
    first, *lines = head.strip().split(b"\r\n")
    return int(first.split()[1]), first, [(one.partition(b": ")[0], one.partition(b": ")[2]) for one in lines]


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_leave_the_connection_usable(front, status):
    await front.serving("a.example.com", lambda exchange: exchange.respond(status, b"", b'etag: "x"\r\n'))
    raw = await front.connect()
    for _ in range(2):
        answer = await raw.ask("a.example.com")
        assert (answer.status, answer.headers["etag"]) == (status, '"x"')


async def test_head_gets_the_length_of_what_it_does_not_get(front):
    await front.serving("a.example.com", named("a"))
    raw = await front.connect()
    raw.send("HEAD / HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
    answer = await raw.answer(bodiless=True)
    assert answer.status == 200 and int(answer.headers["content-length"]) > 10
    assert (await raw.ask("a.example.com")).json["method"] == "GET"


async def test_a_streamed_answer_comes_as_it_is_written(front):
    more = asyncio.Queue()

    def handle(exchange):
        async def answer():
            exchange.start(200, b"content-type: text/event-stream\r\n")
            while piece := await more.get():
                exchange.write(piece)
            exchange.finish()

        exchange.spawn(answer())

    await front.serving("a.example.com", handle)
    raw = await front.connect()
    raw.get("a.example.com")
    more.put_nowait(b"data: 1\n\n")
    status, headers, _ = await raw.head()
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    assert await raw.chunk() == b"data: 1\n\n"
    more.put_nowait(b"data: 2\n\n")
    assert await raw.chunk() == b"data: 2\n\n"
    more.put_nowait(b"")
    assert await raw.chunk() == b""
    more.put_nowait(b"")
    assert (await raw.ask("a.example.com", "/again")).status == 200


async def test_an_answer_that_ends_with_its_connection_is_framed_for_the_client(front):
    async def respond(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold but good")

    front.service("old", await front.raw_server(respond))
    front.host("old.example.com", "old")
    raw = await front.connect()
    for _ in range(2):
        assert (await raw.ask("old.example.com")).body == b"old but good"


async def test_an_old_client_is_served_and_let_go(front):
    await front.serving("a.example.com", named("a"))
    raw = await front.connect()
    raw.send("GET /x HTTP/1.0\r\nHost: a.example.com\r\n\r\n")
    answer = await raw.answer()
    assert answer.json["target"] == "/x" and answer.headers["connection"] == "close"
    assert await raw.ended()
    raw = await front.connect()
    for _ in range(2):
        raw.send("GET /x HTTP/1.0\r\nHost: a.example.com\r\nConnection: keep-alive\r\n\r\n")
        assert (await raw.answer()).headers["connection"] == "keep-alive"


async def test_an_old_client_without_a_host_gets_what_any_host_gets(front):
    await front.serving("a.example.com", named("a"))
    raw = await front.connect()
    raw.send("GET /x HTTP/1.0\r\n\r\n")
    answer = await raw.answer()
    assert answer.status == 404 and "names no host" in answer.error
    front.http_route("", {"backendRefs": [ref("a")]})
    raw = await front.connect()
    raw.send("GET /x HTTP/1.0\r\n\r\n")
    assert ["host", "a.default"] in (await raw.answer()).json["headers"]


async def test_services_are_known_by_name(front):
    server = await front.server(named("iris"))
    front.service("iris", server.port)
    raw = await front.connect()
    for host in ("iris.default", "iris.default.svc", "iris.default.svc.cluster.local:80"):
        assert (await raw.ask(host)).json["name"] == "iris"
    answer = await raw.ask("iris.default:81")
    assert answer.status == 404 and "its ports: 80" in answer.error


async def test_filters_change_the_request_and_the_answer(front):
    server = await front.server(named("a"))
    front.service("a", server.port)
    front.http_route(
        "r.example.com",
        {
            "matches": [matching("/serving/iris")],
            "backendRefs": [ref("a")],
            "filters": [
                {
                    "type": "RequestHeaderModifier",
                    "requestHeaderModifier": {
                        "set": [{"name": "KServe-Isvc-Name", "value": "iris"}],
                        "remove": ["x-b"],
                    },
                },
                {
                    "type": "ResponseHeaderModifier",
                    "responseHeaderModifier": {"set": [{"name": "X-Gone", "value": "by"}]},
                },
                {
                    "type": "URLRewrite",
                    "urlRewrite": {
                        "hostname": "inside.example.com",
                        "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"},
                    },
                },
            ],
        },
        {
            "matches": [matching("/old")],
            "filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}],
        },
    )
    raw = await front.connect()
    answer = await raw.ask("r.example.com", "/serving/iris/v1/models?x", "X-B: 1", "KServe-Isvc-Name: forged")
    headers = [tuple(pair) for pair in answer.json["headers"]]
    assert answer.json["target"] == "/v1/models?x"
    assert [value for name, value in headers if name == "kserve-isvc-name"] == ["iris"]
    assert "x-b" not in dict(headers)
    assert dict(headers)["host"] == "inside.example.com"
    assert dict(headers)["x-forwarded-host"] == "r.example.com"
    assert answer.headers["x-gone"] == "by"
    answer = await raw.ask("r.example.com", "/old/way?x=1")
    assert (answer.status, answer.headers["location"]) == (301, "https://r.example.com/old/way?x=1")


async def test_weights_choose_per_request(front):
    for name in ("stable", "canary"):
        front.service(name, (await front.server(named(name))).port)
    front.http_route("w.example.com", {"backendRefs": [ref("stable", weight=1), ref("canary", weight=1)]})
    raw = await front.connect()
    assert {(await raw.ask("w.example.com")).json["name"] for _ in range(40)} == {"stable", "canary"}


async def test_endpoints_share_the_requests(front):
    servers = [await front.server(named(str(number))) for number in range(3)]
    front.service("a", *(server.port for server in servers))
    front.host("a.example.com", "a")
    raw = await front.connect()
    assert {(await raw.ask("a.example.com")).json["name"] for _ in range(60)} == {"0", "1", "2"}


async def test_a_thousand_hosts(front):
    server = await front.server(named("all"))
    front.service("all", server.port)
    for number in range(1000):
        front.host(f"m{number}.example.com", "all")
    raw = await front.connect()
    for number in range(0, 1000, 50):
        answer = await raw.ask(f"m{number}.example.com")
        assert ["host", f"m{number}.example.com"] in answer.json["headers"]
    front.host("m1000.example.com", "all")
    assert (await raw.ask("m1000.example.com")).status == 200


async def test_an_unknown_host_is_told_how_to_find_the_known_ones(front):
    await front.serving("a.example.com", named("a"))
    raw = await front.connect()
    answer = await raw.ask("iris-default.example.com", "/v1/models")
    assert answer.status == 404
    assert "iris-default.example.com" in answer.error and "kubectl get ingress -A" in answer.error
    assert (await raw.ask("a.example.com")).status == 200


async def test_a_refusal_leaves_the_connection_to_be_used_again(front):
    await front.serving("a.example.com", named("a"))
    raw = await front.connect()
    for pause in (0, 0.02):
        raw.send("POST / HTTP/1.1\r\nHost: unknown.example.com\r\nContent-Length: 2\r\n\r\n")
        await asyncio.sleep(pause)
        raw.send("{}")
        answer = await raw.answer()
        assert answer.status == 404 and "connection" not in answer.headers
    assert (await raw.ask("a.example.com")).json["name"] == "a"


async def test_a_known_host_that_has_no_such_path_says_what_was_asked(front):
    front.http_route("a.example.com", {"matches": [matching("/v1")], "backendRefs": [ref("a")]})
    answer = await front.ask("a.example.com", "/v2/models?x=1")
    assert answer.status == 404
    assert "GET /v2/models" in answer.error and "HTTPRoute default/a.example.com" in answer.error


async def test_while_it_has_not_learned_everything_it_says_so(front):
    front.proxy.learning = True
    answer = await front.ask("a.example.com")
    assert answer.status == 503 and "not learned" in answer.error


@pytest.mark.parametrize(
    "upgrade", ["Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n"]
)
async def test_websockets_are_declined_in_words(front, upgrade):
    await front.serving("a.example.com", named("a"))
    raw = await front.connect()
    raw.send(f"GET /chat HTTP/1.1\r\nHost: a.example.com\r\n{upgrade}\r\n")
    answer = await raw.answer()
    assert answer.status == 501 and "WebSockets" in answer.error


async def test_an_offer_of_http2_is_passed_over(front):
    await front.serving("a.example.com", named("a"))
    raw = await front.connect()
    raw.send(
        "GET /x HTTP/1.1\r\nHost: a.example.com\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    )
    assert (await raw.answer()).json["target"] == "/x"


async def test_metrics(front):
    await front.serving("a.example.com", named("a"))
    raw = await front.connect()
    await raw.ask("a.example.com")
    await raw.ask("a.example.com")
    await raw.ask("made-up.example.com")
    answer = await raw.ask("mizzen-gateway:8080", "/metrics")
    text = answer.body.decode()
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'mizzen_gateway_requests_total{host="a.example.com",code="200"} 2' in text
    assert 'mizzen_gateway_requests_total{host="",code="404"} 1' in text
    assert 'mizzen_gateway_request_duration_seconds_bucket{le="+Inf"} 3' in text
    assert "mizzen_gateway_open_connections 1" in text
    assert "made-up" not in text
    assert (await raw.ask("mizzen-gateway", "/")).status == 404


async def test_drain_finishes_what_is_under_way_and_takes_nothing_more(front):
    gate = asyncio.Event()

    def slow(exchange):
        async def answer():
            await gate.wait()
            exchange.respond(200, b"done")

        exchange.spawn(answer())

    server = await front.serving("a.example.com", slow)
    idle = await front.connect()
    raw = await front.connect()
    raw.get("a.example.com")
    await until(lambda: server.connections)
    closing = asyncio.create_task(front.proxy.close(10))
    assert await idle.ended()
    with pytest.raises(OSError):
        await front.connect()
    gate.set()
    answer = await raw.answer()
    assert (answer.body, answer.headers["connection"]) == (b"done", "close")
    assert await closing is True


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.example.com\r\nHost: b.example.com\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.example.com\r\nHost: a.example.com\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: a.example.com\r\nHost: b.example.com\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.example.com, b.example.com\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.example.com/evil\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: user@a.example.com\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: +3\r\n\r\nabc", 400),
        ("GET / HTTP/1.1\r\nHost: a.example.com\r\nX: a\r\n b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a.example.com\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a.example.com\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.example.com\r\nX: a\rY: b\r\n\r\n", 400),
        ("GET ftp://a.example.com/ HTTP/1.1\r\nHost: a.example.com\r\n\r\n", 400),
        ("GET http://user@a.example.com/ HTTP/1.1\r\nHost: a.example.com\r\n\r\n", 400),
        ("GET http://[::1/x HTTP/1.1\r\nHost: a.example.com\r\n\r\n", 400),
        ("GET http:///x HTTP/1.1\r\nHost: a.example.com\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a.example.com\r\n\r\n", 400),
        ("M-SEARCH / HTTP/1.1\r\nHost: a.example.com\r\n\r\n", 501),
        ("CONNECT a.example.com:80 HTTP/1.1\r\nHost: a.example.com\r\n\r\n", 501),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ],
)
async def test_what_two_readers_could_read_two_ways_is_refused_and_no_server_sees_it(front, head, status):
    asked = []
    for host in ("a.example.com", "b.example.com"):
        await front.serving(host, lambda exchange: (asked.append(exchange.target), exchange.respond(200)))
    raw = await front.connect()
    raw.send(head)
    answer = await raw.answer()
    assert answer.status == status and answer.error
    assert asked == []


async def test_an_absolute_target_is_the_host_that_counts(front):
    for name in ("a", "b"):
        await front.serving(f"{name}.example.com", named(name))
    raw = await front.connect()
    raw.send("GET http://b.example.com/x?y=1 HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
    seen = (await raw.answer()).json
    assert (seen["name"], seen["target"]) == ("b", "/x?y=1")
    assert [value for name, value in seen["headers"] if name == "host"] == ["b.example.com"]
    raw.send("GET HTTP://a.example.com HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
    assert (await raw.answer()).json["target"] == "/"
    raw.send("OPTIONS * HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
    assert (await raw.answer()).json["target"] == "*"


async def test_the_body_of_one_request_is_never_the_next_one(front):
    """A chunked body that looks like a request is a body for the server too."""
    await front.serving("a.example.com", named("a"))
    raw = await front.connect()
    inner = "GET /secret HTTP/1.1\r\nHost: b.example.com\r\n\r\n"
    raw.send("POST / HTTP/1.1\r\nHost: a.example.com\r\nTransfer-Encoding: chunked\r\n\r\n")
    raw.send(f"{len(inner):x}\r\n{inner}\r\n0\r\n\r\n")
    seen = (await raw.answer()).json
    assert seen["body"] == inner
    assert [name for name, _ in seen["headers"] if name in ("content-length", "transfer-encoding")] == [
        "content-length"
    ]
    assert json.loads((await raw.ask("a.example.com", "/next")).body)["target"] == "/next"
