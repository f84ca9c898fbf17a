"""In which form a client wants its answer: the object, a table of it, or its metadata alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from mizzen.kube.errors import ApiError

JSON = "application/json"
# Bodies in protobuf (reference: the Kubernetes API, section 1) will be decoded beside JSON and YAML; answers stay JSON.
_ACCEPTED = (JSON,)

Shape = Literal["object", "table", "partial", "discovery"]


class Form(msgspec.Struct, frozen=True):
    """The form of an answer. ``version`` is that of the table, metadata or discovery document asked for.

    ``stream`` says that a watcher named its stream's media type and expects to read it back.
    """

    shape: Shape = "object"
    version: str = "v1"
    stream: bool = False


OBJECT = Form()
_AS: dict[tuple[str, str], tuple[Shape, tuple[str, ...]]] = {
    ("meta.k8s.io", "Table"): ("table", ("v1", "v1beta1")),
    ("meta.k8s.io", "PartialObjectMetadata"): ("partial", ("v1", "v1beta1")),
    ("meta.k8s.io", "PartialObjectMetadataList"): ("partial", ("v1", "v1beta1")),
    ("apidiscovery.k8s.io", "APIGroupDiscoveryList"): ("discovery", ("v2", "v2beta1")),
}


def negotiate(accept: str, shapes: tuple[Shape, ...] = ("object", "table", "partial")) -> Form:
    """The first form in an ``Accept`` header that we can give; ``shapes`` is what makes sense here.

    Raises:
        ApiError: 406 if there is none.
    """
    if not accept or accept in ("*/*", JSON):
        return OBJECT
    for media, parameters in _ranges(accept):
        if media not in (JSON, "*/*", "application/*"):
            continue
        wanted = parameters.get("as", "")
        if not wanted:
            return Form(stream=parameters.get("stream") == "watch")
        shape, versions = _AS.get((parameters.get("g", ""), wanted), ("object", ()))
        if shape in shapes and parameters.get("v", "") in versions:
            return Form(shape, parameters["v"])
    raise ApiError(
        406, "NotAcceptable", f"only the following media types are accepted: {', '.join(_ACCEPTED)}", details={}
    )


def _ranges(accept: str) -> Iterator[tuple[str, dict[str, str]]]:
    for text in accept.split(","):
        media, *rest = text.split(";")
        parameters = {}
        for parameter in rest:
            name, _, value = parameter.partition("=")
            parameters[name.strip()] = value.strip().strip('"')
        if parameters.get("q") not in ("0", "0.0"):
            yield media.strip().lower(), parameters
