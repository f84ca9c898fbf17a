"""The pages of the tabular frameworks print what comes out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import doc_pages
from doc_pages import Reader

# What each page's reader has installed.
NEEDED = {
    "sklearn": ("sklearn", "pandas", "skops"),
    "xgboost": ("xgboost",),
    "lightgbm": ("lightgbm",),
    "catboost": ("catboost", "pandas"),
    "mlflow": ("mlflow", "sklearn", "pandas"),
}


@pytest.fixture
def reader() -> Iterator[Reader]:
    folder = Path(tempfile.mkdtemp(prefix="mz-"))
    someone = Reader(folder, None)
    try:
        yield someone
    finally:
        someone.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("name", NEEDED)
def test_a_page_prints_what_comes_out(name: str, reader: Reader) -> None:
    for module in NEEDED[name]:
        pytest.importorskip(module, reason=f"{module} is not installed")
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    reader.follow(doc_pages.DOCS / "frameworks" / f"{name}.md")
