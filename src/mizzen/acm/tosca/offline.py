"""A file checked without a runtime: a definition, or an instance, alone or against its definition."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from mizzen.acm.tosca.checks import check
from mizzen.acm.tosca.echo import normalise
from mizzen.acm.tosca.instance import check_instance, read_instance
from mizzen.acm.tosca.names import Names
from mizzen.acm.tosca.nodes import MAX_BYTES
from mizzen.acm.tosca.parse import read
from mizzen.acm.tosca.problems import Problem, Report, Unreadable

_ANY_COMPOSITION = UUID(int=0)


def validate(
    source: str | Path | bytes, *, names: Names | None = None, composition: str | Path | bytes | None = None
) -> Report:
    """What is wrong with a definition or an instance.

    What has ``elements`` and neither node types nor a topology is an instance. Of the two placeholders that public
    samples have for the composition's id, either passes.

    Args:
        source: the file's path, or its bytes.
        names: the type names of the installation; None takes ONAP's defaults.
        composition: the definition, which an instance is then checked against; it has to be right itself.
    """
    try:
        raw = _bytes(source)
        value = _looked_at(raw)
        if "elements" not in value or "node_types" in value or "topology_template" in value:
            return check(read(raw), names)
        request = read_instance(raw, composition_id=_ANY_COMPOSITION)
        if composition is None:
            return Report()
        definition = read(_bytes(composition))
        report = check(definition, names)
        if not report.ok:
            problem = Problem("compositionId", None, None, "the definition has problems of its own")
            return Report((problem,), (), report.details, report.status)
        return check_instance(request, normalise(definition), names)
    except Unreadable as error:
        return error.report


def _looked_at(raw: bytes) -> dict[str, object]:
    """The document, or nothing where it cannot be read for a placeholder that is yet to be filled in."""
    try:
        return read(raw).value
    except Unreadable:
        filled = raw.replace(b"{{compositionId}}", str(_ANY_COMPOSITION).encode())
        if filled == raw:
            raise
        return read(filled).value


def _bytes(source: str | Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        with Path(source).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"{source} cannot be read: {error.strerror or error}"
        raise Unreadable([Problem("", None, None, message)]) from error
