"""From bytes to a document: which of the two notations it is, and what is never taken in.

Both notations come by REST, from files and from a form. A text that begins with a brace is JSON unless somebody says
otherwise; YAML in braces is tried after it.
"""

from __future__ import annotations

import codecs

from mizzen.acm.tosca.jsontext import read_json
from mizzen.acm.tosca.nodes import MAX_BYTES, Document, Mark, Node
from mizzen.acm.tosca.problems import Problem, Unreadable
from mizzen.acm.tosca.yamltext import read_yaml


def read(text: bytes | str, *, media_type: str | None = None) -> Document:
    """The document of a text in JSON or YAML.

    Args:
        text: at most 5 MiB, in UTF-8.
        media_type: ``application/json`` or ``application/yaml``, as a request says it; None looks at the text.

    Raises:
        Unreadable: with all that can be said of it.
    """
    text = _decoded(text)
    root = _root(text, media_type)
    if not isinstance(root.value, dict):
        kind = "a list" if isinstance(root.value, list) else "empty" if root.value is None else "a single value"
        where = Problem("", *root.mark, f"the document is {kind}, where a mapping is expected")
        raise Unreadable([where])
    return Document(text, root)


def _root(text: str, media_type: str | None) -> Node:
    kind = (media_type or "").partition(";")[0].strip().lower()
    if "json" in kind:
        return read_json(text)
    if "yaml" in kind or not text.lstrip().startswith(("{", "[")):
        return read_yaml(text)
    try:
        return read_json(text)
    except Unreadable as mistake:
        try:
            return read_yaml(text)
        except Unreadable:
            raise mistake from None


def _decoded(text: bytes | str) -> str:
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        message = f"the document has {size:,} bytes; at most {MAX_BYTES:,} are read"
        raise Unreadable([Problem("", None, None, message)])
    if isinstance(text, bytes):
        text = _of_utf8(text)
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise Unreadable([Problem("", *Mark(1, 1), "the document is empty")])
    return text


def _of_utf8(raw: bytes) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Unreadable([Problem("", 1, 1, "the document is in UTF-16", "save it as UTF-8")])
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        before = raw[raw.rfind(b"\n", 0, error.start) + 1 : error.start]
        message = f"the document is not UTF-8: found the byte 0x{raw[error.start]:02x}"
        column = len(before.decode("utf-8", "replace")) + 1
        raise Unreadable([Problem("", line, column, message, "save it as UTF-8")]) from error
