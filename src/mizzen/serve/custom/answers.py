"""Between the server's calls and what a custom model takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from msgspec import Struct

from mizzen.serve.custom.chain import Outcome
from mizzen.serve.custom.errors import InferenceError, InvalidInput
from mizzen.serve.custom.messages import InferRequest, InferResponse
from mizzen.serve.custom.tensors import InferInput, RequestedOutput, plain
from mizzen.serve.lanes.lane import Call
from mizzen.serve.model import Extras, Part, Tensor


class Answer(Struct):
    """Attributes:
    result: tensors; of a payload's call, whatever its protocol can send.
    extras: what the answer says beside it.
    identifier: the id that the model gave its answer.
    """

    result: Any
    extras: Extras | None = None
    identifier: str | None = None


def request_of(call: Call, name: str, version: str | None) -> InferRequest:
    """The request of a call with tensors."""
    options = call.options
    wanted = None if options.outputs is None else [RequestedOutput(output) for output in options.outputs]
    return InferRequest(
        name,
        [cast(InferInput, InferInput.of(tensor)) for tensor in call.inputs],
        call.identifier,
        parameters=dict(options.parameters) if options.parameters else {},
        request_outputs=wanted,
        model_version=version,
    )


def tensor_answer(outcome: Outcome) -> Answer:
    """The answer of a model that was asked with tensors.

    Raises:
        InferenceError: what it returned is no V2 answer.
    """
    response = response_of(outcome.result)
    extras = Extras(plain(response.parameters) or None, outcome.headers or None)
    return Answer(_tensors(response), extras, response.id or None)


def is_stream(result: Any) -> bool:
    """Whether a model answers in several parts."""
    return hasattr(result, "__aiter__") or hasattr(result, "__next__")


def tensor_part(piece: Any) -> Part:
    """One answer of several.

    Raises:
        InferenceError: it is no V2 answer.
    """
    response = response_of(piece)
    parameters = plain(response.parameters)
    return Part(_tensors(response), Extras(parameters) if parameters else None)


def payload_piece(piece: Any) -> Any:
    """A piece of a payload's answer, as it can be sent."""
    return as_json(piece) if isinstance(piece, InferResponse) else piece


def _tensors(response: InferResponse) -> list[Tensor]:
    try:
        return [output.to_tensor() for output in response.outputs]
    except InvalidInput as error:  # the model's fault, not the client's
        raise InferenceError(f"the model's answer cannot be sent: {error}") from error


def response_of(result: Any) -> InferResponse:
    """What a model returned for a V2 request, as the class for it.

    Raises:
        InferenceError: it is no V2 answer.
    """
    if isinstance(result, InferResponse):
        return result
    if hasattr(result, "raw_output_contents"):  # a gRPC message
        return cast(InferResponse, InferResponse.from_grpc(result))
    if isinstance(result, dict) and "outputs" in result:
        try:
            return InferResponse.from_rest(result)
        except InvalidInput as error:
            raise InferenceError(f"the model's answer cannot be sent: {error}") from error
    what = f"a dict with {', '.join(map(repr, result)) or 'nothing'}" if isinstance(result, dict) else _type(result)
    raise InferenceError(
        f"the model returned {what} for a V2 request; it must return an InferResponse, or a dict with 'model_name' and "
        "'outputs' (mizzen.serve.get_predict_response makes one)"
    )


def payload_answer(outcome: Outcome, stream: Callable[[Any], Any]) -> Answer:
    """The answer of a model that was asked with a payload.

    Args:
        stream: makes of an iterator of the model's one that the server may read.

    Raises:
        InferenceError: there is none.
    """
    result = outcome.result
    if result is None:
        raise InferenceError("the model returned nothing: does its predict, explain or postprocess lack a return?")
    extras = Extras(headers=outcome.headers) if outcome.headers else None
    if isinstance(result, InferResponse):
        result = as_json(result)
    elif is_stream(result):
        result = stream(result)
    elif hasattr(result, "raw_output_contents"):
        result = as_json(cast(InferResponse, InferResponse.from_grpc(result)))
    return Answer(result, extras)


def as_json(response: InferResponse) -> dict[str, Any]:
    """A V2 answer as a JSON object, whatever form its outputs were set in."""
    plainly = InferResponse(
        response.id, response.model_name, response.outputs, response.model_version, parameters=response.parameters
    )
    body, _ = plainly.to_rest()
    return cast(dict[str, Any], body)


def _type(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
