"""Bad requests to a served model, through the gateway: each gets its error, and those beside it never notice."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from installed import installation, iris_manifest, train, until

FLOWER = [5.1, 3.5, 1.4, 0.2]
V1 = "/v1/models/iris:predict"
V2 = "/v2/models/iris/infer"
LIMIT = 65_536
PATIENCE = 30


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """The folder of a model, the model, and what it is asked."""
    folder = tmp_path_factory.mktemp("model")
    return folder, *train(folder)


@pytest.fixture(scope="module")
def mizzen(flowers):
    model = {"modelFormat": {"name": "sklearn"}, "storageUri": f"file://{flowers[0]}"}
    with installation() as running:
        running.apply(iris_manifest(flowers[0], sklearn=None, model=model))
        # The same model behind a small limit; the ordinary one is 128 MiB.
        small = model | {"args": [f"--max_request_bytes={LIMIT}"]}
        running.apply(iris_manifest(flowers[0], name="small", sklearn=None, model=small))
        running.wait_ready("iris")
        running.wait_ready("small")
        until(lambda: running.predict("iris", [FLOWER]) == (200, {"predictions": [0]}))
        until(lambda: running.predict("small", [FLOWER]) == (200, {"predictions": [0]}))
        yield running


@pytest.fixture(scope="module")
def gateway(mizzen) -> tuple[str, int]:
    found = urlsplit(mizzen.status()["gateway"]["url"])
    return found.hostname, found.port


def request(path: str, body: bytes, service: str = "iris", **fields: str) -> bytes:
    head = {"Host": f"{service}-default.example.com", "Content-Type": "application/json", "Content-Length": len(body)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (head | fields).items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def v1(rows: Any) -> bytes:
    return request(V1, json.dumps({"instances": rows}).encode())


def v2(rows: list[list[float]], **change: Any) -> bytes:
    flat = [value for row in rows for value in row]
    tensor = {"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": flat} | change
    return request(V2, json.dumps({"inputs": [tensor]}).encode())


async def read(reader: asyncio.StreamReader) -> tuple[int, Any]:
    head = "http/1.1 100"
    while head.startswith("http/1.1 100"):  # go on, says the gateway to who asked
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r")[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


async def ask(gateway: tuple[str, int], data: bytes) -> tuple[int, Any]:
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(*gateway)
        writer.write(data)
        try:
            return await read(reader)
        finally:
            writer.close()


# The request, its status, and what its error says.
BAD = {
    "V1 that is no JSON": (request(V1, b'{"instances": [['), 400, "Unrecognized request format"),
    "V2 that is no JSON": (request(V2, b"inputs=1"), 400, "Unrecognized request format"),
    "V1 that is not UTF-8": (request(V1, b'{"instances": ["\xff\xfe"]}'), 400, "not UTF-8"),
    "V2 that is not UTF-8": (request(V2, b'{"inputs": [{"name": "\xff"}]}'), 400, "not UTF-8"),
    "nothing at all": (request(V1, b""), 400, "Unrecognized request format"),
    "V1 without rows": (request(V1, b"{}"), 400, "instances"),
    "V2 without tensors": (request(V2, b"{}"), 400, "inputs"),
    "V1 that is ragged": (v1([FLOWER, FLOWER[:2]]), 400, "ragged"),
    "a shape that takes more than there is": (v2([FLOWER], shape=[2, 4]), 400, "shape [2, 4] takes 8 elements"),
    "a shape that takes less": (v2([FLOWER], shape=[1, 3]), 400, "shape [1, 3] takes 3 elements"),
    "a datatype that is none": (v2([FLOWER], datatype="FP99"), 400, "FP99"),
    "V1 of the wrong width": (v1([FLOWER[:2]]), 400, "X has 2 features, but SVC is expecting 4 features"),
    "V2 of the wrong width": (v2([FLOWER[:2]]), 400, "X has 2 features, but SVC is expecting 4 features"),
    "V1 of an unknown model": (request("/v1/models/no:predict", b"{}"), 404, "Model with name no does not exist."),
    "V2 of an unknown model": (request("/v2/models/no/infer", b"{}"), 404, "Model with name no does not exist."),
    "a path that is none": (request("/v3/models", b"{}"), 404, "nothing is served at /v3/models"),
    "too large for the small one": (
        request("/v1/models/small:predict", b" " * (LIMIT + 1), "small"),
        413,
        str(LIMIT),
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_request_is_refused_in_the_shape_of_its_protocol(gateway, case):
    data, status, says = BAD[case]
    answer = await ask(gateway, data)
    assert answer[0] == status
    assert list(answer[1]) == ["error"]
    assert says in answer[1]["error"]
    assert await ask(gateway, v1([FLOWER])) == (200, {"predictions": [0]})


async def test_what_is_too_large_is_refused_before_it_is_sent(gateway):
    """Whoever announces a gigabyte hears at once, whether it waits to be asked for it (Expect) or not."""
    for fields in ({}, {"Expect": "100-continue"}):
        head = request(V1, b"", **({"Content-Length": str(2**30)} | fields))
        status, body = await ask(gateway, head)
        assert status == 413
        assert "134217728" in body["error"]


async def test_a_body_in_chunks_is_measured_as_it_comes(gateway):
    head = request("/v1/models/small:predict", b"", "small").replace(
        b"Content-Length: 0", b"Transfer-Encoding: chunked"
    )
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    status, body = await ask(gateway, head + chunk * 5 + b"0\r\n\r\n")
    assert status == 413
    assert str(LIMIT) in body["error"]


async def test_requests_that_are_cut_off_end_quietly(mizzen, gateway):
    """Clients vanish at every byte of their request; nobody hangs, and nothing is left behind."""
    whole = v1([FLOWER])
    logged = mizzen("logs", "isvc/iris")
    async with asyncio.timeout(PATIENCE):
        for at in range(1, len(whole), 3):
            _, writer = await asyncio.open_connection(*gateway)
            writer.write(whole[:at])
            if at % 2:
                await writer.drain()
                writer.close()
            else:
                writer.transport.abort()
        reader, writer = await asyncio.open_connection(*gateway)
        writer.write(whole[:-10])
        writer.write_eof()
        answered = await reader.read()
        assert answered.startswith(b"HTTP/1.1 400 ") and b"cut off" in answered
        writer.close()
    assert await ask(gateway, whole) == (200, {"predictions": [0]})
    assert mizzen.objects("pods")[0]["status"]["containerStatuses"][0]["restartCount"] == 0
    assert mizzen("logs", "isvc/iris") == logged, "a client that vanishes is no news"
    assert "Traceback" not in (mizzen.home / "logs/gateway.log").read_text()


async def test_neighbours_are_untouched(gateway, flowers):
    """Everything at once, for the same model: each answer is right for the request that it answers."""
    _, model, rows = flowers
    expected = model.predict(rows).tolist()
    bad = [case for case in BAD.values() if b"small" not in case[0]]
    wrong: list[Any] = []

    async def good(client: int) -> None:
        reader, writer = await asyncio.open_connection(*gateway)
        for turn in range(30):
            place = (client * 30 + turn) % len(rows)
            if turn % 2:
                writer.write(v1([rows[place].tolist()]))
                found = await read(reader)
                right = found == (200, {"predictions": [expected[place]]})
            else:
                writer.write(v2([rows[place].tolist()]))
                found = await read(reader)
                right = found[0] == 200 and found[1]["outputs"][0]["data"] == [expected[place]]
            if not right:
                wrong.append((place, found))
        writer.close()

    async def evil(client: int) -> None:
        for turn in range(10):
            data, status, says = bad[(client + turn) % len(bad)]
            found = await ask(gateway, data)
            if found[0] != status or says not in found[1]["error"]:
                wrong.append((data[:80], found))

    async def rude(client: int) -> None:
        for turn in range(10):
            _, writer = await asyncio.open_connection(*gateway)
            data = v2([rows[client].tolist()])
            writer.write(data[: (client * 37 + turn * 11) % len(data) + 1])
            await asyncio.sleep(0.001 * (turn % 3))
            writer.transport.abort()

    async with asyncio.timeout(120):
        await asyncio.gather(*(one(n) for n in range(20) for one in (good, evil, rude)))
    assert wrong == []
