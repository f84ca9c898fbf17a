"""Each deviation of the model server, each of ACM's and each wrong that the pages list has a test, which is there."""

from __future__ import annotations

import re

import pytest

from doc_pages import DOCS

from .test_reference import rows, section

ROOT = DOCS.parent
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(?:\w+::)?(test_\w+)`")
TABLES = [
    ("compatibility.md", "## Model server", 30),
    ("acm.md", "## Deviations from ONAP's Java programs", 19),
    ("acm.md", "## When things go wrong", 30),
]


@pytest.mark.parametrize(("page", "heading", "least"), TABLES, ids=str)
def test_every_row_names_a_test_that_is_there(page: str, heading: str, least: int) -> None:
    listed = [row for row in rows(section(page, heading)) if row[-1] not in ("test", "shown by")]
    assert len(listed) >= least
    assert len({row[0] for row in listed}) == len(listed)
    for row in listed:
        tests = _TEST.findall(row[-1])
        assert tests, f"{row[0]}: no test is named"
        for path, test in tests:
            file = ROOT / path
            assert file.exists(), f"{row[0]}: there is no {path}"
            assert re.search(rf"^ *(async )?def {test}\(", file.read_text(), re.MULTILINE), f"{path} has no {test}"


def test_every_deviation_of_acm_is_listed() -> None:
    listed = [row[0] for row in rows(section("acm.md", "## Deviations from ONAP's Java programs"))[1:]]
    assert listed == [f"D{number}" for number in range(1, 20)]
