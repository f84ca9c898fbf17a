"""The table of wrongs in the documentation: every test that it names is there, and every test here is named."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
TABLE = (ROOT / "docs" / "serve.md").read_text().partition("## When things go wrong")[2]
NAMED = re.findall(r"`(tests/[^`:]+)(?:::(\w+))?`", TABLE)


def test_every_test_that_is_named_is_there() -> None:
    assert len(NAMED) > 40
    for file, function in NAMED:
        assert (ROOT / file).exists(), file
        if function:
            assert re.search(rf"^(async )?def {function}\(", (ROOT / file).read_text(), re.MULTILINE), (file, function)


def test_every_file_here_is_named() -> None:
    files = {str(file.relative_to(ROOT)) for file in HERE.glob("test_*.py") if file != Path(__file__)}
    assert files <= {file for file, _ in NAMED}


def test_every_row_says_what_becomes_of_it() -> None:
    rows = [line.strip("|").split("|") for line in TABLE.splitlines() if line.startswith("| ")]
    assert len(rows) > 25
    for cells in rows:
        assert len(cells) == 4 and all(cells[at].strip() for at in (0, 1, 3)), cells
