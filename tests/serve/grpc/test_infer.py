"""ModelInfer, asked by grpcio and by Triton's client."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mizzen.serve.errors import InferenceError, InvalidInput
from mizzen.serve.lanes.lane import Call, Lane
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Extras, Options, Servable, Tensor, TensorModel
from mizzen.serve.protocols.grpc import schema
from mizzen.serve.protocols.grpc.call import MessageLimits


def typed_request(**fields: Any) -> Any:
    request = schema.ModelInferRequest(model_name="echo", **fields)
    request.inputs.add(name="x", datatype="FP32", shape=[2, 2]).contents.fp32_contents.extend([1, 2, 3, 4])
    return request


async def test_raw_in_raw_out(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Echo())
    answer = await speaker.ask("ModelInfer", kit.raw_request("echo", kit.floats, np.array([True]), id="seven"))
    assert (answer.model_name, answer.model_version, answer.id) == ("echo", "", "seven")
    first, second = answer.outputs
    assert (first.name, first.datatype, list(first.shape)) == ("x", "FP32", [2, 4])
    assert (second.name, second.datatype, list(second.shape)) == ("x1", "BOOL", [1])
    assert answer.raw_output_contents[0] == kit.floats.tobytes()
    assert answer.raw_output_contents[1] == b"\1"
    assert first.parameters["binary_data_size"].int64_param == 32
    assert not first.HasField("contents")


async def test_typed_in_typed_out(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Echo())
    answer = await speaker.ask("ModelInfer", typed_request())
    assert list(answer.outputs[0].contents.fp32_contents) == [1, 2, 3, 4]
    assert not answer.raw_output_contents and not answer.outputs[0].parameters
    assert len(answer.id) == 36  # made up where the request has none


async def test_half_precision_goes_raw_even_where_the_request_did_not(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Fixed("echo", half=np.ones(2, np.float16), text=np.array(["a"])))
    answer = await speaker.ask("ModelInfer", typed_request())
    assert [output.datatype for output in answer.outputs] == ["FP16", "BYTES"]
    assert list(answer.raw_output_contents) == [np.ones(2, np.float16).tobytes(), b"\1\0\0\0a"]


async def test_parameters_and_wanted_outputs(speak: Any, kit: Any) -> None:
    model = kit.Echo()
    speaker = await speak(model)
    request = kit.raw_request("echo", kit.floats, kit.floats + 1, kit.floats + 2)
    request.parameters["mode"].string_param = "fast"
    request.parameters["share"].double_param = 0.5
    request.parameters["binary_data_output"].bool_param = True
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    request.inputs[0].parameters["content_type"].string_param = "np"
    request.inputs[0].parameters["binary_data_size"].int64_param = 32
    for name in ("x2", "x"):
        request.outputs.add(name=name)
    answer = await speaker.ask("ModelInfer", request)
    assert [output.name for output in answer.outputs] == ["x2", "x"]
    assert answer.raw_output_contents[1] == kit.floats.tobytes()
    [options] = model.told
    assert options.parameters == {"mode": "fast", "share": 0.5}
    assert options.outputs == ("x2", "x")
    assert options.headers is None
    assert model.got[0][0].parameters == {"content_type": "np"}
    assert answer.outputs[1].parameters["content_type"].string_param == "np"


async def test_metadata_reaches_a_model_that_reads_headers(speak: Any, kit: Any) -> None:
    model = kit.Echo(reads_headers=True)
    speaker = await speak(model)
    metadata = [("x-request-id", "r1"), ("x-tag", "a"), ("x-tag", "b"), ("trace-bin", b"\0\1")]
    await speaker.ask("ModelInfer", kit.raw_request("echo", kit.floats), metadata=metadata)
    headers = model.told[0].headers
    assert headers["x-request-id"] == "r1"
    assert headers["x-tag"] == "a, b"
    assert headers["trace-bin"].rstrip("=") == "AAE"
    assert headers["host"] == speaker.address
    assert not [name for name in headers if name.startswith((":", "grpc-timeout", "te"))]


async def test_texts_are_what_their_content_type_says(speak: Any, kit: Any) -> None:
    model = kit.Echo()
    speaker = await speak(model)
    request = schema.ModelInferRequest(model_name="echo")
    for name, value in (("str", "\u00e9".encode()), ("base64", b"AP8="), ("np", b"\xff")):
        tensor = request.inputs.add(name=name, datatype="BYTES", shape=[1])
        tensor.parameters["content_type"].string_param = name
        tensor.contents.bytes_contents.append(value)
    answer = await speaker.ask("ModelInfer", request)
    assert [tensor.array.tolist() for tensor in model.got[0]] == [["\u00e9"], [b"\0\xff"], [b"\xff"]]
    assert list(answer.outputs[0].contents.bytes_contents) == ["\u00e9".encode()]
    tensor.parameters["content_type"].string_param = "base64"
    code, text = await speaker.refused("ModelInfer", request)
    assert code == "INVALID_ARGUMENT"
    assert "input 'np'" in text


async def test_a_request_s_id_comes_back_with_its_answer(speak: Any, kit: Any) -> None:
    import grpc

    speaker = await speak(kit.Echo())
    metadata = [("x-request-id", "r1")]
    _, call = await speaker.told("ModelInfer", kit.raw_request("echo", kit.floats), metadata=metadata)
    assert ("x-request-id", "r1") in call.initial_metadata()
    with pytest.raises(grpc.RpcError) as caught:
        await speaker.ask("ModelInfer", kit.raw_request("none", kit.floats), metadata=metadata)
    assert ("x-request-id", "r1") in caught.value.trailing_metadata()
    stream = speaker.stub("ModelStreamInfer")(iter([]), metadata=metadata, timeout=20)
    assert ("x-request-id", "r1") in await speaker.run(stream.initial_metadata)


class Talking(Servable):
    """A model whose lane answers with extras."""

    def __init__(self, extras: Extras) -> None:
        super().__init__("talking", "3")
        self.extras = extras

    def load(self) -> None:
        pass

    def open_lane(self, metrics: Any, scheduling: Scheduling, stuck: Callable[[str], None]) -> Lane:
        extras = self.extras

        class Direct(Lane):
            in_flight = 0

            def submit(self, call: Call) -> None:
                call.give(call.inputs, extras)

        return Direct()


async def test_what_a_model_says_beside_its_tensors(speak: Any, kit: Any) -> None:
    extras = Extras({"took": 3, "sure": 0.25, "ok": True}, {"X-Served-By": "me", "content-type": "text/html"})
    speaker = await speak(Talking(extras))
    answer, call = await speaker.told("ModelInfer", kit.raw_request("talking", kit.floats))
    parameters = answer.parameters
    assert parameters["took"].int64_param == 3
    assert parameters["sure"].double_param == 0.25
    assert parameters["ok"].bool_param is True
    assert answer.model_version == "3"
    assert dict(call.trailing_metadata()) == {"x-served-by": "me"}


async def test_a_header_that_metadata_cannot_carry_is_the_model_s_fault(speak: Any, kit: Any) -> None:
    speaker = await speak(Talking(Extras(None, {"X-Name": "J\u00fcrgen"})))
    code, text = await speaker.refused("ModelInfer", kit.raw_request("talking", kit.floats))
    assert code == "INTERNAL"
    assert "'X-Name' cannot be sent as gRPC metadata" in text


async def test_versions(speak: Any, kit: Any) -> None:
    one, two = kit.Echo(version="1"), kit.Echo(version="2")
    speaker = await speak(one, two)
    answer = await speaker.ask("ModelInfer", kit.raw_request("echo", kit.floats))
    assert answer.model_version == "2"
    answer = await speaker.ask("ModelInfer", kit.raw_request("echo", kit.floats, model_version="1"))
    assert answer.model_version == "1"
    code, text = await speaker.refused("ModelInfer", kit.raw_request("echo", kit.floats, model_version="9"))
    assert (code, text) == ("NOT_FOUND", "Model with name echo has no version 9; there is 1, 2.")


async def test_an_input_may_be_changed_by_the_model(speak: Any, kit: Any) -> None:
    class InPlace(TensorModel):
        def load(self) -> None:
            pass

        def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
            inputs[0].array += 1
            return inputs

    speaker = await speak(InPlace("m"))
    answer = await speaker.ask("ModelInfer", kit.raw_request("m", kit.floats))
    assert answer.raw_output_contents[0] == (kit.floats + 1).tobytes()


async def test_requests_that_contradict_themselves(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Echo(), kit.Fixed("nothing"))

    def one_block_too_many(request: Any) -> None:
        request.raw_input_contents.append(b"")

    def both_forms(request: Any) -> None:
        request.inputs[0].contents.fp32_contents.append(1)

    def no_inputs(request: Any) -> None:
        del request.inputs[:]
        del request.raw_input_contents[:]

    def no_model(request: Any) -> None:
        request.model_name = ""

    def other_model(request: Any) -> None:
        request.model_name = "none\n\u00e9"

    def shape(request: Any) -> None:
        request.inputs[0].shape[:] = [3, 3]

    def unknown_output(request: Any) -> None:
        request.outputs.add(name="z")

    def shared_memory(request: Any) -> None:
        request.inputs[0].parameters["shared_memory_region"].string_param = "r"

    def classification(request: Any) -> None:
        request.outputs.add(name="x").parameters["classification"].int64_param = 3

    def empty_parameter(request: Any) -> None:
        request.parameters["p"].SetInParent()

    def bad_timeout(request: Any) -> None:
        request.parameters["timeout"].int64_param = -1

    table = [
        (
            one_block_too_many,
            "INVALID_ARGUMENT",
            "the number of inputs (1) does not match the expected number of raw input contents (2) for model 'echo'.",
        ),
        (
            both_forms,
            "INVALID_ARGUMENT",
            "contents field must not be specified when using raw_input_contents for input 'x' for model 'echo'",
        ),
        (no_inputs, "INVALID_ARGUMENT", "the request has no inputs for model 'echo'; it takes at least one tensor"),
        (no_model, "NOT_FOUND", "Model with name  does not exist."),
        (other_model, "NOT_FOUND", "Model with name none\n\u00e9 does not exist."),
        (shape, "INVALID_ARGUMENT", "input 'x': shape [3, 3] takes 9 elements, data has 8"),
        (unknown_output, "INVALID_ARGUMENT", "Unexpected inference output 'z' for model 'echo'"),
        (
            shared_memory,
            "INVALID_ARGUMENT",
            "input 'x' is in shared memory, which is not read here: send its contents",
        ),
        (
            classification,
            "INVALID_ARGUMENT",
            "output 'x': classification is not supported; the tensor itself is sent",
        ),
        (
            empty_parameter,
            "INVALID_ARGUMENT",
            "the parameter p has no value, or one of a kind that is not known here",
        ),
        (
            bad_timeout,
            "INVALID_ARGUMENT",
            "the parameter timeout must be a positive number of microseconds, not -1",
        ),
    ]
    for change, code, text in table:
        request = kit.raw_request("echo", kit.floats)
        change(request)
        assert await speaker.refused("ModelInfer", request) == (code, text), change.__name__


class Teapot(Exception):
    status_code = 418
    detail = "short and stout"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ValueError("50 % wrong: \u2191"), "INTERNAL", "50 % wrong: \u2191"),
        (KeyError(), "INTERNAL", "KeyError"),
        (InvalidInput("too few columns"), "INVALID_ARGUMENT", "too few columns"),
        (InferenceError("busy", 503), "UNAVAILABLE", "busy"),
        (NotImplementedError("no such thing"), "UNIMPLEMENTED", "no such thing"),
        (Teapot(), "INVALID_ARGUMENT", "short and stout"),
        (SystemExit(3), "INTERNAL", "the model tried to end the process: sys.exit(3)"),
        (ValueError("a" * 10_000), "INTERNAL", "a" * 4096 + "..."),
    ],
)
async def test_what_a_model_raises(speak: Any, kit: Any, error: BaseException, code: str, text: str) -> None:
    speaker = await speak(kit.Raising(error), kit.Echo())
    assert await speaker.refused("ModelInfer", kit.raw_request("raising", kit.floats)) == (code, text)
    # And its neighbour never noticed.
    answer = await speaker.ask("ModelInfer", kit.raw_request("echo", kit.floats))
    assert answer.raw_output_contents[0] == kit.floats.tobytes()


async def test_an_output_without_a_form_is_the_model_s_fault(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Fixed(y=np.zeros(2, complex)))
    code, text = await speaker.refused("ModelInfer", kit.raw_request("fixed", kit.floats))
    assert (code, text) == ("INTERNAL", "output 'y' is of type complex128, which the protocol does not know")


async def test_a_full_queue(speak: Any, kit: Any, waiting: Any) -> None:
    import grpc

    speaker = await speak(waiting, scheduling=Scheduling(queue=1))
    request = kit.raw_request("waiting", kit.floats)
    first = asyncio.create_task(speaker.ask("ModelInfer", request))
    await asyncio.to_thread(waiting.begun.wait, 10)
    with pytest.raises(grpc.RpcError) as caught:
        await speaker.ask("ModelInfer", request)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "takes no more now" in caught.value.details()
    assert ("grpc-retry-pushback-ms", "1000") in caught.value.trailing_metadata()
    waiting.go.set()
    await first


async def test_a_deadline_passes_and_changes_nothing_else(speak: Any, kit: Any, waiting: Any) -> None:
    speaker = await speak(waiting)
    request = kit.raw_request("waiting", kit.floats)
    code, _ = await speaker.refused("ModelInfer", request, timeout=0.2)
    assert code == "DEADLINE_EXCEEDED"
    request.parameters["timeout"].int64_param = 100_000  # microseconds, as Triton's clients have it
    code, text = await speaker.refused("ModelInfer", request)
    assert (code, text) == (
        "DEADLINE_EXCEEDED",
        "The model did not answer within the time that the request gave it.",
    )
    del request.parameters["timeout"]
    waiting.go.set()
    answer = await speaker.ask("ModelInfer", request)
    assert answer.raw_output_contents[0] == kit.floats.tobytes()


async def test_a_cancelled_call_is_not_put_to_the_model(speak: Any, kit: Any, waiting: Any) -> None:
    speaker = await speak(waiting)
    request = kit.raw_request("waiting", kit.floats)
    busy = asyncio.create_task(speaker.ask("ModelInfer", request))
    await asyncio.to_thread(waiting.begun.wait, 10)
    queued = speaker.stub("ModelInfer").future(request, timeout=20)
    served = speaker.repository.get("waiting")
    async with asyncio.timeout(10):
        while served.in_flight < 2:
            await asyncio.sleep(0.01)
    queued.cancel()
    async with asyncio.timeout(10):
        while not _all_settled(served):
            await asyncio.sleep(0.01)
    waiting.go.set()
    await busy
    assert (await speaker.ask("ModelInfer", request)).outputs[0].name == "x"
    assert waiting.calls == 2


def _all_settled(served: Any) -> bool:
    """Whether nobody waits for what still stands in the queue."""
    return all(call.settled for group in served.lane._queue for call in group.calls)


async def test_sizes_that_messages_may_have(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Echo(), kit.Fixed(y=np.zeros(1000)), messages=MessageLimits(receive=1000, send=2000))
    assert (await speaker.ask("ModelInfer", kit.raw_request("echo", kit.floats))).outputs
    large = kit.raw_request("echo", np.zeros((1, 1000)))
    code, text = await speaker.refused("ModelInfer", large)
    assert code == "RESOURCE_EXHAUSTED"
    assert text == f"a message of {large.ByteSize()} bytes is larger than the 1000 bytes that it may have"
    code, text = await speaker.refused("ModelInfer", kit.raw_request("fixed", kit.floats))
    assert code == "RESOURCE_EXHAUSTED"
    assert "the answer of 8" in text


async def test_eight_mebibytes_unless_told_otherwise(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Echo())
    large = kit.raw_request("echo", np.zeros((1, 2**21 + 1), np.float32))
    code, text = await speaker.refused("ModelInfer", large)
    assert code == "RESOURCE_EXHAUSTED"
    assert "8388608" in text


async def test_a_megabyte_there_and_back(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Echo())
    array = np.random.default_rng(1).random((512, 512), np.float32)
    answer = await speaker.ask("ModelInfer", kit.raw_request("echo", array))
    assert answer.raw_output_contents[0] == array.tobytes()
    request = schema.ModelInferRequest(model_name="echo")
    tensor = request.inputs.add(name="x", datatype="FP32", shape=array.shape)
    tensor.contents.fp32_contents.extend(array.ravel().tolist())
    answer = await speaker.ask("ModelInfer", request)
    assert np.array_equal(np.array(answer.outputs[0].contents.fp32_contents, np.float32), array.ravel())


LONG = 100_000


def long_requests() -> Any:
    """Requests, each of which takes its time to be read and to be answered."""
    texts = [b"%d" % number for number in range(LONG)]
    raw = schema.ModelInferRequest(model_name="echo", id="raw")
    raw.inputs.add(name="x", datatype="BYTES", shape=[LONG])
    raw.raw_input_contents.append(b"".join(struct.pack("<I", len(text)) + text for text in texts))
    yield raw
    for datatype, field, values in (
        ("BYTES", "bytes_contents", texts),
        ("BOOL", "bool_contents", [number % 3 == 0 for number in range(LONG * 4)]),
        ("INT64", "int64_contents", list(range(-LONG, LONG))),
        ("INT8", "int_contents", [number % 100 for number in range(LONG * 4)]),
        ("UINT16", "uint_contents", [number % 60000 for number in range(LONG * 2)]),
    ):
        request = schema.ModelInferRequest(model_name="echo", id=datatype)
        tensor = request.inputs.add(name="x", datatype=datatype, shape=[len(values)])
        getattr(tensor.contents, field).extend(values)
        yield request
    many = schema.ModelInferRequest(model_name="echo", id="many")
    for number in range(20_000):
        many.inputs.add(name=f"x{number}", datatype="INT64", shape=[1]).contents.int64_contents.append(number)
    yield many


@pytest.mark.parametrize("request_", list(long_requests()), ids=lambda request: request.id)
async def test_long_requests_and_answers(speak: Any, kit: Any, request_: Any) -> None:
    speaker = await speak(kit.Echo())
    assert request_.ByteSize() > 256 * 1024
    answer = await speaker.ask("ModelInfer", request_)
    stream = speaker.stub("ModelStreamInfer")
    [streamed] = await speaker.run(lambda: list(stream(iter([request_]), timeout=20)))
    assert streamed.error_message == ""
    for found in (answer, streamed.infer_response):
        assert found.id == request_.id
        assert list(found.raw_output_contents) == list(request_.raw_input_contents)
        assert len(found.outputs) == len(request_.inputs)
        for output, tensor in zip(found.outputs, request_.inputs, strict=True):
            assert (output.name, output.datatype, output.shape) == (tensor.name, tensor.datatype, tensor.shape)
            assert output.contents == tensor.contents


async def test_a_long_request_that_is_wrong_or_given_up(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Echo())
    request = next(long_requests())
    request.inputs[0].shape[:] = [3]
    code, text = await speaker.refused("ModelInfer", request)
    assert (code, text) == ("INVALID_ARGUMENT", f"input 'x': shape [3] takes 3 elements, data has {LONG}")
    request.model_name = "none"
    assert (await speaker.refused("ModelInfer", request))[0] == "NOT_FOUND"
    request.model_name = "echo"
    code, _ = await speaker.refused("ModelInfer", request, timeout=0.001)
    assert code == "DEADLINE_EXCEEDED"


async def test_a_long_answer_without_a_form(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Fixed(y=np.arange(100_000), z=np.zeros(1, complex)))
    code, text = await speaker.refused("ModelInfer", kit.raw_request("fixed", kit.floats))
    assert (code, text) == ("INTERNAL", "output 'z' is of type complex128, which the protocol does not know")


@pytest.mark.parametrize("name", ["Gzip", "Deflate"])
async def test_compressed_messages(speak: Any, kit: Any, name: str) -> None:
    import grpc

    speaker = await speak(kit.Echo())
    array = np.zeros((100, 100), np.float32)
    request = kit.raw_request("echo", array)
    answer, call = await speaker.told("ModelInfer", request, compression=getattr(grpc.Compression, name))
    assert answer.raw_output_contents[0] == array.tobytes()
    assert len(call.initial_metadata()) >= 0


async def test_no_request_gets_another_s_answer(speak: Any, kit: Any) -> None:
    """Rows that can be told apart, from many callers at once, sharing calls; bad ones among them."""
    speaker = await speak(kit.Doubled(), kit.Raising(ValueError("never")))
    import grpc

    stub = speaker.stub("ModelInfer")
    wrong: list[str] = []

    def caller(number: int) -> None:
        random = np.random.default_rng(number)
        for turn in range(40):
            rows = random.integers(0, 10**6, (random.integers(1, 4), 3)).astype(np.float64)
            request = kit.raw_request("doubled", rows, id=f"{number}-{turn}")
            if turn % 10 == 9:
                request.inputs[0].shape[:] = [7, 7]
                try:
                    stub(request, timeout=30)
                    wrong.append("taken")
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                        wrong.append(str(error))
                continue
            answer = stub(request, timeout=30)
            found = np.frombuffer(answer.raw_output_contents[0]).reshape(answer.outputs[0].shape)
            if answer.id != request.id or not np.array_equal(found, rows * 2):
                wrong.append(answer.id)

    def story() -> None:
        threads = [threading.Thread(target=caller, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    await speaker.run(story)
    assert wrong == []


async def test_triton_s_client(speak: Any, kit: Any, waiting: Any) -> None:
    triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
    from tritonclient.utils import InferenceServerException, np_to_triton_dtype

    speaker = await speak(kit.Echo(), kit.Raising(ValueError("it broke")), waiting)

    def story() -> None:
        client = triton.InferenceServerClient(speaker.address)
        arrays = {
            "a": np.arange(6, dtype=np.int32).reshape(2, 3),
            "b": np.array([[True, False]]),
            "c": np.array([1.5, -0.0], np.float16),
            "d": np.array([b"x", b"\xff\0", b""], dtype=object),
            "e": np.array([2**64 - 1], np.uint64),
        }
        inputs = []
        for name, array in arrays.items():
            tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        wanted = [triton.InferRequestedOutput(name) for name in reversed(arrays)]
        result = client.infer("echo", inputs, outputs=wanted, request_id="r", compression_algorithm="gzip")
        assert result.get_response().id == "r"
        for name, array in arrays.items():
            found = result.as_numpy(name)
            assert found.shape == array.shape
            assert found.tolist() == array.tolist()
        with pytest.raises(InferenceServerException, match="it broke") as caught:
            client.infer("raising", inputs)
        assert caught.value.status() == "StatusCode.INTERNAL"
        with pytest.raises(InferenceServerException, match="within the time"):
            client.infer("waiting", inputs, timeout=100_000)  # microseconds
        client.close()

    await speaker.run(story)


async def test_triton_s_client_on_asyncio(speak: Any, kit: Any) -> None:
    triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
    speaker = await speak(kit.Doubled())

    def story() -> list[Any]:
        async def ask() -> list[Any]:
            import tritonclient.grpc.aio as aio

            client = aio.InferenceServerClient(speaker.address)
            requests = []
            for number in range(20):
                tensor = triton.InferInput("x", [1, 2], "FP64")
                tensor.set_data_from_numpy(np.full((1, 2), float(number)))
                requests.append(client.infer("doubled", [tensor]))
            results = await asyncio.gather(*requests)
            await client.close()
            return [result.as_numpy("y").tolist() for result in results]

        return asyncio.run(ask())

    assert await speaker.run(story) == [[[2.0 * number] * 2] for number in range(20)]
