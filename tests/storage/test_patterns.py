from __future__ import annotations

import pytest

from mizzen.storage import StorageError
from mizzen.storage.patterns import Patterns, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("*.json", ("*.json",)),
        (" *.json , *.bin ,", ("*.json", "*.bin")),
        ('["*.json", "a,b"]', ("*.json", "a,b")),
        ("[]", ()),
        ("[ab]*.bin,*.json", ("[ab]*.bin", "*.json")),
    ],
)
def test_a_list_in_the_environment(text: str, expected: tuple[str, ...]) -> None:
    assert parse(text, "STORAGE_ALLOW_PATTERNS") == expected


def test_a_json_list_of_anything_else_is_refused() -> None:
    with pytest.raises(StorageError, match="STORAGE_ALLOW_PATTERNS must be a JSON list of strings"):
        parse("[1, 2]", "STORAGE_ALLOW_PATTERNS")


@pytest.mark.parametrize(
    ("allow", "ignore", "path", "admitted"),
    [
        ([], [], "anything", True),
        (["*.json"], [], "config.json", True),
        (["*.json"], [], "deep/config.json", True),
        (["*.json"], [], "model.bin", False),
        ([], ["*.md"], "README.md", False),
        (["*"], ["*.md"], "README.md", False),
        (["README.md"], [], "readme.md", False),
    ],
)
def test_allow_then_ignore(allow: list[str], ignore: list[str], path: str, admitted: bool) -> None:
    assert Patterns.of(allow, ignore, {}).admits(path) is admitted


def test_arguments_come_before_the_environment() -> None:
    environ = {"STORAGE_ALLOW_PATTERNS": "*.a", "STORAGE_IGNORE_PATTERNS": "*.b"}
    assert Patterns.of(None, None, environ) == Patterns(("*.a",), ("*.b",))
    assert Patterns.of(["*.c"], [], environ) == Patterns(("*.c",), ())
