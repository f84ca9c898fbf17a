"""What can go wrong with one InferenceService, in sentences for the operator.

A sentence is short, since an acknowledgement has room for 255 characters, and quotes nothing that was in the payload:
what the API says against a value often repeats it, and the value may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mizzen.errors import MizzenError
from mizzen.kube.errors import ApiError

MASK = "***"

# What may pass by itself. 500 is what a webhook's failure looks like; 429 and 503 ask for patience.
PASSING = frozenset({408, 429, 500, 502, 503, 504})
_FOUND = re.compile(r' \(found (?:"(?:[^"\\]|\\.)*"|[^()]*)\)')
_QUOTED = re.compile(r'((?:Invalid|Unsupported|Duplicate) value: )(?:"(?:[^"\\]|\\.)*"|.*?)(: |$)')
_SHORTEST_SECRET = 4


class Trouble(MizzenError):
    """Something is not done, or not known; the text says what."""


class Refused(Trouble):
    """The API says no, and would say so again."""


class NotOurs(Trouble):
    """It is there, and somebody else's."""


class OutOfTime(Trouble):
    """It did not happen in the time there was."""


class Hopeless(Trouble):
    """It will not happen, however long one waits."""


class Vanished(Trouble):
    """Somebody else has deleted it."""


def reason(error: ApiError, payload: Mapping[str, Any] | None = None) -> str:
    """What the API says, without the values that it says it about."""
    causes = (error.details or {}).get("causes") or ()
    told = [_cause(cause) for cause in causes if isinstance(cause, dict) and cause.get("message")]
    text = "; ".join(told) if told and error.code == 422 else error.message
    text = _QUOTED.sub(lambda match: match[1].rstrip(": ") + match[2], text)
    text = _FOUND.sub("", text)
    for secret in sorted(_secrets(payload), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return f"{error.code} {error.reason}: {text}" if error.reason else f"{error.code}: {text}"


def _cause(cause: Mapping[str, Any]) -> str:
    field, message = str(cause.get("field") or ""), str(cause["message"])
    return f"{field}: {message}" if field and not message.startswith(field) else message


def _secrets(value: Any) -> Iterator[str]:
    """The values of environment variables, wherever a container is."""
    if isinstance(value, dict):
        for key, found in value.items():
            if key == "env" and isinstance(found, list):
                for one in found:
                    text = one.get("value") if isinstance(one, dict) else None
                    if isinstance(text, str) and len(text) >= _SHORTEST_SECRET:
                        yield text
            else:
                yield from _secrets(found)
    elif isinstance(value, list):
        for found in value:
            yield from _secrets(found)
