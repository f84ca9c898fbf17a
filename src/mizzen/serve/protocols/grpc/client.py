"""Asking another server over gRPC: for transformers and explainers, which forward to their predictor.

What the other server says is passed on as it was said: its errors keep their status and their text, and its response
parameters and trailing metadata come back beside the tensors.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import Mapping, Sequence
from typing import Any

from mizzen.http.client import Timeouts
from mizzen.http.errors import HttpError, Malformed, TimedOut
from mizzen.http.headers import Headers, find
from mizzen.http.http2.client import Http2Client
from mizzen.http.sniff import offer_http2
from mizzen.serve.codecs.raw import Buffer
from mizzen.serve.errors import ServeError
from mizzen.serve.model import NO_OPTIONS, Extras, Options, Parameters, Tensor
from mizzen.serve.protocols.grpc import framing, head
from mizzen.serve.protocols.grpc.inference import BINARY_SIZE, parse, read_parameters, write_parameters
from mizzen.serve.protocols.grpc.schema import (
    INFERENCE,
    ModelInferRequest,
    ModelInferResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)
from mizzen.serve.protocols.grpc.status import Code, decode_message, status_of
from mizzen.serve.protocols.grpc.tensors import datatype_of, read_contents, read_raw, varint, write_raw

_RAW_INPUT = b"\x3a"

# Statuses by which proxies say that whom they speak for is away, and what a call's end is worth without a word.
_AWAY = {429: 503, 502: 503, 503: 503, 504: 504}

# Answers may be of any size: whoever asks has reason to trust whom it asks.
_ANY = 1 << 32


class UpstreamError(ServeError):
    """The other server could not answer, or did with an error.

    Attributes:
        status: the HTTP status for it.
        code: gRPC's code, where it answered with one.
    """

    def __init__(self, status: int, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class GrpcClient:
    """Args:
    url: ``http://host:port`` or ``https://host:port`` of the server; connections to it are kept.
    authority: what calls name as their host, where that is not the URL's.
    ssl: for ``https``; the system's certificates are trusted where it is None.
    connect: seconds for a connection to come about.
    environ: where the cluster's gateway and the pod's own address are named.
    """

    def __init__(
        self,
        url: str,
        *,
        authority: str | None = None,
        ssl: tls.SSLContext | None = None,
        connect: float = 5.0,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        if ssl is None and self.url.startswith("https:"):
            ssl = tls.create_default_context()
        if ssl is not None:
            offer_http2(ssl)
        self._connect = connect
        self._client = Http2Client(ssl=ssl, environ=environ)
        self._headers: Headers = [] if authority is None else [(b"host", authority.encode("idna"))]
        self._headers += [
            (b"content-type", head.CONTENT_TYPE),
            (b"te", b"trailers"),
            (b"grpc-accept-encoding", framing.ENCODINGS),
        ]

    async def infer(
        self,
        name: str,
        inputs: Sequence[Tensor],
        options: Options = NO_OPTIONS,
        *,
        version: str | None = None,
        identifier: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> tuple[list[Tensor], Extras]:
        """Put tensors to a model of the other server, raw.

        Args:
            options: parameters and wanted outputs; its headers are not sent, ``headers`` are.
            headers: metadata of the call.
            timeout: seconds until the answer must be complete; the other server is told.

        Returns:
            the outputs, and what was said beside them: response parameters, and trailing metadata as headers.

        Raises:
            UpstreamError: 503 if there was no connection, 504 if no answer came in time, 502 if what came is none; else
                the status and the text that the other server gave.
        """
        request = ModelInferRequest(model_name=name, model_version=version or "", id=identifier or "")
        if options.parameters:
            write_parameters(options.parameters, request.parameters)
        for wanted in options.outputs or ():
            request.outputs.add(name=wanted)
        blocks: list[Buffer] = []
        for tensor in inputs:
            array = tensor.array
            datatype = datatype_of(array, tensor.name)
            field = request.inputs.add(name=tensor.name, datatype=datatype, shape=array.shape)
            if tensor.parameters:
                write_parameters(tensor.parameters, field.parameters)
            block = write_raw(array, tensor.name)
            blocks += (_RAW_INPUT, varint(len(block)), block)
        parts = [request.SerializeToString(), *blocks]
        message, trailers = await self._call("ModelInfer", parts, ModelInferResponse, headers, timeout)
        try:
            outputs = _outputs(message)
            parameters = read_parameters(message.parameters)
        except ServeError as error:
            raise self._unreadable(str(error)) from error
        return outputs, Extras(parameters or None, _metadata(trailers) or None)

    async def ready(
        self,
        name: str,
        version: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> bool:
        """Whether a model of the other server can answer. For what is raised see :meth:`infer`."""
        request = ModelReadyRequest(name=name, version=version or "")
        message, _ = await self._call("ModelReady", request.SerializeToString(), ModelReadyResponse, headers, timeout)
        return bool(message.ready)

    async def server_ready(self, *, headers: Mapping[str, str] | None = None, timeout: float | None = None) -> bool:
        """Whether the other server takes requests. For what is raised see :meth:`infer`."""
        message, _ = await self._call(
            "ServerReady", ServerReadyRequest().SerializeToString(), ServerReadyResponse, headers, timeout
        )
        return bool(message.ready)

    async def close(self) -> None:
        """End all connections; answers under way are cut off."""
        await self._client.close()

    async def __aenter__(self) -> GrpcClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _call(
        self,
        method: str,
        message: bytes | list[Buffer],
        kind: Any,
        metadata: Mapping[str, str] | None,
        timeout: float | None,
    ) -> tuple[Any, Headers]:
        """One message for one message. Returns it, and the fields at the call's end."""
        fields = [*self._headers, *head.pairs(metadata or {})]
        if timeout is not None:
            fields.append((b"grpc-timeout", head.encode_timeout(timeout)))
        try:
            answer = await self._client.request(
                "POST",
                f"{self.url}/{INFERENCE}/{method}",
                headers=fields,
                body=framing.frame(message),
                timeouts=Timeouts(connect=self._connect, head=None, total=timeout),
            )
        except HttpError as error:
            status = 504 if isinstance(error, TimedOut) else 502 if isinstance(error, Malformed) else 503
            raise UpstreamError(status, f"{self.url} did not answer: {error}") from error
        media_type = answer.header(b"content-type")
        if answer.status != 200 or not head.is_grpc(media_type):
            shown = (media_type or b"no content type").decode("latin-1")
            raise UpstreamError(
                _AWAY.get(answer.status, 502),
                f"{self.url} does not answer in gRPC, but with HTTP status {answer.status} and {shown}",
            )
        # An error without a message may have its end in its head.
        end = answer.trailers if find(answer.trailers, b"grpc-status") is not None else answer.headers
        said = find(end, b"grpc-status")
        if said is None or not said.isdigit():
            raise self._unreadable("it has no grpc-status")
        code = int(said)
        if code != Code.OK:
            text = decode_message(find(end, b"grpc-message") or b"")
            raise UpstreamError(status_of(code), text or f"{self.url} answered with gRPC status {code}", code)
        try:
            body = framing.single(answer.body, answer.header(b"grpc-encoding"), _ANY)
            return parse(kind, body), end
        except ServeError as error:
            raise self._unreadable(str(error)) from error

    def _unreadable(self, why: str) -> UpstreamError:
        return UpstreamError(502, f"the answer of {self.url} cannot be read: {why}")


def _outputs(message: Any) -> list[Tensor]:
    """The tensors of a ``ModelInferResponse``.

    Raises:
        InvalidInput: they cannot be read.
    """
    blocks = message.raw_output_contents
    if blocks and len(blocks) != len(message.outputs):
        raise ServeError(f"it has {len(message.outputs)} outputs and raw contents of {len(blocks)}")
    found = []
    for at, output in enumerate(message.outputs):
        name, datatype, shape = output.name, output.datatype, list(output.shape)
        if blocks:
            array = read_raw(datatype, shape, blocks[at], name)
        else:
            array = read_contents(datatype, shape, output.contents, name)
        parameters: Parameters = read_parameters(output.parameters)
        parameters.pop(BINARY_SIZE, None)
        found.append(Tensor(name, array, parameters or None))
    return found


def _metadata(fields: Headers) -> dict[str, str]:
    """What is said at a call's end beside how it ended."""
    return head.metadata([pair for pair in fields if not pair[0].startswith(b"grpc-") and pair[0] != b"date"])
