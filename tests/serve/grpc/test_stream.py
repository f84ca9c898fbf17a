"""ModelStreamInfer."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mizzen.serve.protocols.grpc import schema
from mizzen.serve.protocols.grpc.streaming import UNDER_WAY


class Talk:
    """A stream of grpcio's, used by hand from a thread."""

    def __init__(self, speaker: Any, timeout: float = 20) -> None:
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.call = speaker.stub("ModelStreamInfer")(self._next(), timeout=timeout)

    def _next(self) -> Iterator[Any]:
        while (request := self._requests.get()) is not None:
            yield request

    def send(self, *requests: Any) -> None:
        for request in requests:
            self._requests.put(request)

    def end(self) -> None:
        self._requests.put(None)

    def answer(self) -> Any:
        return next(self.call)


async def test_answers_come_in_the_order_of_the_requests(speak: Any, kit: Any, waiting: Any) -> None:
    speaker = await speak(waiting, kit.Echo())

    def story() -> None:
        talk = Talk(speaker)
        slow = kit.raw_request("waiting", kit.floats, id="slow")
        quick = kit.raw_request("echo", kit.floats + 1, id="quick")
        talk.send(slow, quick)
        assert waiting.begun.wait(10)
        waiting.go.set()
        first, second = talk.answer(), talk.answer()
        assert [answer.infer_response.id for answer in (first, second)] == ["slow", "quick"]
        assert second.infer_response.raw_output_contents[0] == (kit.floats + 1).tobytes()
        assert first.infer_response.parameters["triton_final_response"].bool_param is True
        talk.end()
        assert list(talk.call) == []
        assert talk.call.code().name == "OK"

    await speaker.run(story)


async def test_a_request_that_fails_does_not_end_the_stream(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Echo(), kit.Raising(ValueError("it broke")))

    def story() -> None:
        talk = Talk(speaker)
        lying = kit.raw_request("echo", kit.floats, id="c")
        lying.inputs[0].shape[:] = [5]
        talk.send(
            kit.raw_request("none", kit.floats, id="a"),
            kit.raw_request("raising", kit.floats, id="b"),
            lying,
            kit.raw_request("echo", kit.floats, id="d"),
        )
        answers = [talk.answer() for _ in range(4)]
        assert [answer.infer_response.id for answer in answers] == ["a", "b", "c", "d"]
        assert [answer.error_message for answer in answers] == [
            "Model with name none does not exist.",
            "it broke",
            "input 'x': shape [5] takes 5 elements, data has 8",
            "",
        ]
        assert not answers[0].infer_response.outputs
        talk.end()
        assert list(talk.call) == []

    await speaker.run(story)


async def test_more_requests_than_may_be_under_way(speak: Any, kit: Any, waiting: Any) -> None:
    speaker = await speak(waiting)
    count = UNDER_WAY * 2
    served = speaker.repository.get("waiting")
    talk = Talk(speaker)
    talk.send(*[kit.raw_request("waiting", kit.floats + number, id=str(number)) for number in range(count)])
    talk.end()
    async with asyncio.timeout(10):
        while served.in_flight < UNDER_WAY:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert served.in_flight == UNDER_WAY
    waiting.go.set()

    def story() -> None:
        answers = list(talk.call)
        assert [answer.infer_response.id for answer in answers] == [str(number) for number in range(count)]
        for number, answer in enumerate(answers):
            assert answer.infer_response.raw_output_contents[0] == (kit.floats + number).tobytes()

    await speaker.run(story)


async def test_a_client_that_goes_cancels_what_waits(speak: Any, kit: Any, waiting: Any) -> None:
    speaker = await speak(waiting)
    served = speaker.repository.get("waiting")
    talk = Talk(speaker)
    talk.send(*[kit.raw_request("waiting", kit.floats) for _ in range(5)])
    async with asyncio.timeout(10):
        while served.in_flight < 5:
            await asyncio.sleep(0.01)
    talk.call.cancel()
    talk.end()
    async with asyncio.timeout(10):
        while any(not call.settled for group in served.lane._queue for call in group.calls):
            await asyncio.sleep(0.01)
    waiting.go.set()
    async with asyncio.timeout(10):
        while served.in_flight:
            await asyncio.sleep(0.01)
    assert waiting.calls == 1


async def test_a_stream_has_a_deadline(speak: Any, kit: Any, waiting: Any) -> None:
    import grpc

    speaker = await speak(waiting)
    talk = Talk(speaker, timeout=0.3)
    talk.send(kit.raw_request("waiting", kit.floats))

    def story() -> None:
        with pytest.raises(grpc.RpcError) as caught:
            talk.answer()
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    await speaker.run(story)
    talk.end()


async def test_when_the_server_ends_a_stream_answers_what_it_took(speak: Any, kit: Any, waiting: Any) -> None:
    import grpc

    speaker = await speak(waiting)
    talk = Talk(speaker)
    talk.send(kit.raw_request("waiting", kit.floats, id="taken"))
    await asyncio.to_thread(waiting.begun.wait, 10)
    speaker.service.drain()
    closing = asyncio.create_task(speaker.server.close(10))

    def story() -> None:
        waiting.go.set()
        assert talk.answer().infer_response.id == "taken"
        with pytest.raises(grpc.RpcError) as caught:
            talk.answer()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "Server is not ready."

    await speaker.run(story)
    talk.end()
    assert await closing


async def test_streams_side_by_side(speak: Any, kit: Any) -> None:
    """Each stream gets its own answers, in its own order."""
    speaker = await speak(kit.Doubled())
    wrong: list[str] = []

    def caller(number: int) -> None:
        sent = [np.full((1, 2), number * 1000.0 + turn) for turn in range(100)]
        requests = [kit.raw_request("doubled", array, id=str(turn)) for turn, array in enumerate(sent)]
        call = speaker.stub("ModelStreamInfer")(iter(requests), timeout=30)
        for turn, (answer, array) in enumerate(zip(call, sent, strict=True)):
            found = np.frombuffer(answer.infer_response.raw_output_contents[0])
            if answer.infer_response.id != str(turn) or not np.array_equal(found, array.ravel() * 2):
                wrong.append(f"{number} {turn}")

    def story() -> None:
        threads = [threading.Thread(target=caller, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    await speaker.run(story)
    assert wrong == []


async def test_triton_s_client_streams(speak: Any, kit: Any) -> None:
    triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
    speaker = await speak(kit.Echo())

    def story() -> None:
        client = triton.InferenceServerClient(speaker.address)
        found: queue.SimpleQueue[Any] = queue.SimpleQueue()
        client.start_stream(lambda result, error: found.put((result, error)), compression_algorithm="gzip")
        tensor = triton.InferInput("x", [3], "BYTES")
        tensor.set_data_from_numpy(np.array([b"a", b"b", b"c" * 1000], dtype=object))
        for name in ("echo", "none", "echo"):
            client.async_stream_infer(name, [tensor], request_id=name, enable_empty_final_response=True)
        (first, fault), (nothing, error), (last, _) = (found.get(timeout=10) for _ in range(3))
        assert fault is None and nothing is None
        assert first.as_numpy("x").tolist() == last.as_numpy("x").tolist() == [b"a", b"b", b"c" * 1000]
        assert "Model with name none does not exist." in str(error)
        client.stop_stream()
        client.close()

    await speaker.run(story)


async def test_a_broken_frame_ends_the_stream_after_its_answers(speak: Any, kit: Any) -> None:
    from mizzen.http.http2.client import Http2Client
    from mizzen.serve.protocols.grpc.framing import frame

    speaker = await speak(kit.Echo())
    whole = frame(kit.raw_request("echo", kit.floats, id="whole").SerializeToString())
    async with Http2Client(environ={}) as client:
        answer = await client.request(
            "POST",
            f"http://{speaker.address}/{schema.INFERENCE}/ModelStreamInfer",
            headers=[(b"content-type", b"application/grpc")],
            body=whole + b"\0\0\0\0\x09short",
        )
    assert answer.status == 200
    assert schema.ModelStreamInferResponse.FromString(answer.body[5:]).infer_response.id == "whole"
    trailers = dict(answer.trailers)
    assert trailers[b"grpc-status"] == b"3"
    assert trailers[b"grpc-message"] == b"the request ends within a message"
