"""RE2's expressions in Python's engine."""

from __future__ import annotations

import pytest

from mizzen.cluster.apiserver.patterns import PatternError, compiled


@pytest.mark.parametrize(
    ("pattern", "found", "not_found"),
    [
        ("b", ["abc"], ["ac"]),
        ("^a$", ["a"], ["a\n", "ba"]),
        (r"^a\z", ["a"], ["a\n"]),
        ("(?m)^a$", ["b\na\nc"], ["ba"]),
        (r"^\d+$", ["12"], ["١٢"]),
        (r"^\w$", ["a"], ["é"]),
        (r"^\pL+$", ["é"], ["1"]),
        ("^[[:alpha:]_]+$", ["a_B"], ["a1"]),
        (r"\Qa.b\E$", ["a.b"], ["axb"]),
        (r"^\x{e9}$", ["é"], ["e"]),
        (r"\x60", ["`"], ["'"]),
        ("[]a]", ["]"], ["b"]),
        ("^[[]$", ["["], ["]"]),
        ("^[a&&b]$", ["&"], ["c"]),
        ("(?<n>a)b", ["ab"], ["b"]),
        ("(?i)abc", ["ABC"], ["AB"]),
        (r"[$]\$", ["$$"], ["$"]),
    ],
)
def test_a_pattern_finds_what_it_finds_in_go(pattern: str, found: list[str], not_found: list[str]) -> None:
    for text in found:
        assert compiled(pattern).search(text), text
    for text in not_found:
        assert not compiled(pattern).search(text), text


@pytest.mark.parametrize("pattern", ["(", "a**", "(?=a)", "(?<!a)b", r"(a)\1", r"\p{Greek}", "[z-a]"])
def test_what_is_no_pattern_there_is_none_here(pattern: str) -> None:
    with pytest.raises(PatternError):
        compiled(pattern)
