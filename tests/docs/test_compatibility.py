"""Each deviation of the model server that the page lists has a test, which is there."""

from __future__ import annotations

import re

from doc_pages import DOCS

from .test_reference import rows, section

ROOT = DOCS.parent
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_deviation_of_the_model_server_has_its_test() -> None:
    listed = rows(section("compatibility.md", "## Model server"))[1:]
    assert len(listed) > 30
    assert len({row[0] for row in listed}) == len(listed)
    for row in listed:
        tests = _TEST.findall(row[-1])
        assert tests, f"{row[0]}: no test is named"
        for path, test in tests:
            file = ROOT / path
            assert file.exists(), f"{row[0]}: there is no {path}"
            assert re.search(rf"^(async )?def {test}\(", file.read_text(), re.MULTILINE), f"{path} has no {test}"
