"""Server reflection: clients like grpcurl ask the server itself what it serves. The same in v1 and v1alpha."""

from __future__ import annotations

from functools import partial
from typing import Any

from mizzen.serve.protocols.grpc.inference import parse
from mizzen.serve.protocols.grpc.schema import POOL, REFLECTION, SERVICES, message
from mizzen.serve.protocols.grpc.status import Code
from mizzen.serve.protocols.grpc.stream import Stream


class Reflection:
    def __init__(self) -> None:
        self.streams = {
            f"{service}/ServerReflectionInfo": partial(_reflect, service.rpartition(".")[0]) for service in REFLECTION
        }


async def _reflect(package: str, stream: Stream) -> None:
    kind = message(f"{package}.ServerReflectionRequest")
    answer = message(f"{package}.ServerReflectionResponse")
    async for request in stream.requests():
        await stream.send(_answered(parse(kind, request), answer).SerializeToString())


def _answered(request: Any, kind: Any) -> Any:
    answer = kind(valid_host=request.host, original_request=request)
    asked = request.WhichOneof("message_request")
    try:
        if asked == "list_services":
            for service in SERVICES:
                answer.list_services_response.service.add(name=service)
        elif asked == "file_by_filename":
            _describe(POOL.FindFileByName(request.file_by_filename), answer)
        elif asked == "file_containing_symbol":
            _describe(_file_of(request.file_containing_symbol), answer)
        elif asked == "all_extension_numbers_of_type":
            name = request.all_extension_numbers_of_type
            answer.all_extension_numbers_response.base_type_name = POOL.FindMessageTypeByName(name).full_name
        elif asked == "file_containing_extension":
            raise KeyError  # messages of proto3 have none
        else:
            answer.error_response.error_code = Code.INVALID_ARGUMENT
            answer.error_response.error_message = "the request asks nothing"
    except KeyError:
        answer.error_response.error_code = Code.NOT_FOUND
        answer.error_response.error_message = "nothing of this name is served here"
    return answer


def _file_of(symbol: str) -> Any:
    try:
        return POOL.FindFileContainingSymbol(symbol)
    except KeyError:
        # A method, whose service the pool knows.
        service, _, method = symbol.rpartition(".")
        return POOL.FindServiceByName(service).methods_by_name[method].containing_service.file


def _describe(file: Any, answer: Any) -> None:
    answer.file_descriptor_response.file_descriptor_proto.append(file.serialized_pb)
