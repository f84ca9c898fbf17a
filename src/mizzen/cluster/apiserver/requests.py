"""What a request asks for, read from its path and query before anything looks at its body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from mizzen.kube.errors import ApiError, Cause, bad_request
from mizzen.kube.selectors import EVERYTHING, FieldSelector, Selector, SelectorError, parse, parse_fields

Query = Mapping[str, str]

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
_MATCHES = ("Exact", "NotOlderThan")


class ResourcePath(msgspec.Struct, frozen=True):
    """A path below ``/api`` or ``/apis`` that names a resource. Parts that it does not name are empty.

    ``rest`` is what follows a sub-resource, as the path of a proxied request does.
    """

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: tuple[str, ...] = ()


def resource_path(path: str) -> ResourcePath | None:
    """The resource a decoded URL path names, or ``None`` if it names something else, such as a discovery document."""
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    # `namespaces/NS/status` and `namespaces/NS/finalize` are about the namespace itself, not about what is in it.
    if rest[0] == "namespaces" and len(rest) > 2 and not (not group and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    name, subresource = (*rest[1:3], "", "")[:2]
    return ResourcePath(group, version, rest[0], namespace, name, subresource, tuple(rest[3:]))


class ListOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which objects of a collection, at which time, and whether to keep watching them."""

    labels: Selector = EVERYTHING
    fields: FieldSelector = FieldSelector()
    limit: int = 0
    continue_token: str = ""
    revision: int | None = None
    match: Literal["", "Exact", "NotOlderThan"] = ""
    watch: bool = False
    timeout: int | None = None
    bookmarks: bool = False
    initial_events: bool = False

    @property
    def selects(self) -> bool:
        """Whether some objects may be left out."""
        return not self.labels.is_everything or bool(self.fields.requirements)


def list_options(query: Query) -> ListOptions:
    """The options of a list or watch.

    Raises:
        ApiError: 400 for what cannot be read, 422 for what does not go together.
    """
    watch = _flag(query, "watch")
    initial = _flag(query, "sendInitialEvents")
    match = query.get("resourceVersionMatch", "")
    text = query.get("resourceVersion", "")
    token = query.get("continue", "")
    causes: list[Cause] = []
    if match and match not in _MATCHES:
        causes.append(_forbidden("resourceVersionMatch", f"supported values are {', '.join(_MATCHES)}"))
    if initial and not watch:
        causes.append(_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    elif initial and match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        causes.append(_forbidden("resourceVersionMatch", why))
    elif watch and match and not initial:
        causes.append(_forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden for watch"))
    elif match and not watch:
        if token:
            causes.append(
                _forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is given")
            )
        elif not text:
            why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            causes.append(_forbidden("resourceVersionMatch", why))
        elif match == "Exact" and text == "0":
            why = 'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
            causes.append(_forbidden("resourceVersionMatch", why))
    if causes:
        raise invalid_options("ListOptions", causes)
    try:
        labels, fields = parse(query.get("labelSelector", "")), parse_fields(query.get("fieldSelector", ""))
    except SelectorError as error:
        raise bad_request(str(error)) from error
    return ListOptions(
        labels=labels,
        fields=fields,
        limit=_number(query, "limit") or 0,
        continue_token=token,
        revision=_revision(text),
        match=match if match in ("Exact", "NotOlderThan") else "",  # type: ignore[arg-type]
        watch=watch,
        timeout=_number(query, "timeoutSeconds"),
        bookmarks=_flag(query, "allowWatchBookmarks"),
        initial_events=initial,
    )


class WriteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to write: who does it, whether for real, and what to do about unknown fields."""

    manager: str = "unknown"
    manager_given: bool = False
    dry_run: bool = False
    validation: Literal["Strict", "Warn", "Ignore"] = "Warn"
    force: bool | None = None
    user: str = ""


def write_options(query: Query, user_agent: str, user: str) -> WriteOptions:
    """The options of a create, update, patch or apply.

    Raises:
        ApiError: 422 for a value that does not exist or is too long.
    """
    causes: list[Cause] = []
    manager = query.get("fieldManager", "")
    if len(manager) > 128:
        causes.append(Cause("FieldValueTooLong", "fieldManager", "Too long: may not be more than 128 bytes"))
    elif not manager.isprintable():
        text = f"Invalid value: {manager!r}: should only contain printable characters"
        causes.append(Cause("FieldValueInvalid", "fieldManager", text))
    validation = query.get("fieldValidation") or "Warn"
    if validation not in ("Strict", "Warn", "Ignore"):
        text = f'Unsupported value: "{validation}": supported values: "Ignore", "Strict", "Warn"'
        causes.append(Cause("FieldValueNotSupported", "fieldValidation", text))
    dry_run = query.get("dryRun", "")
    causes += dry_run_causes(dry_run)
    if causes:
        raise invalid_options("PatchOptions", causes)
    return WriteOptions(
        manager=manager or (user_agent.partition("/")[0].strip()[:128] or "unknown"),
        manager_given=bool(manager),
        dry_run=dry_run == "All",
        validation=validation,  # type: ignore[arg-type]
        force=_flag(query, "force") if "force" in query else None,
        user=user,
    )


def dry_run_causes(value: object) -> list[Cause]:
    """What is wrong with a ``dryRun`` value, if anything."""
    if value in ("", "All"):
        return []
    return [Cause("FieldValueNotSupported", "dryRun", f'Unsupported value: "{value}": supported values: "All"')]


def invalid_options(kind: str, causes: list[Cause]) -> ApiError:
    """Options that are no options, as a 422 about them."""
    lines = [f"{cause['field']}: {cause['message']}" for cause in causes]
    text = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    details = {"group": "meta.k8s.io", "kind": kind, "causes": list(causes)}
    return ApiError(422, "Invalid", f'{kind}.meta.k8s.io "" is invalid: {text}', details)


def _forbidden(field: str, why: str) -> Cause:
    return Cause("FieldValueForbidden", field, f"Forbidden: {why}")


def _flag(query: Query, name: str) -> bool:
    text = query.get(name, "")
    if text in _TRUE:
        return True
    # A bare `?watch` means yes, as in other servers of this API.
    if text == "":
        return name in query
    if text in _FALSE:
        return False
    raise bad_request(f'{name}: "{text}" is not a boolean: write true or false')


def _number(query: Query, name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.lstrip("-").isdigit():
        raise bad_request(f'{name}: "{text}" is not a whole number')
    return max(int(text), 0)


def _revision(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise bad_request(f'Invalid value: "{text}": resourceVersion must be a decimal number that this server issued')
    return int(text)
