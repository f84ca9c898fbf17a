"""The page on transformers prints what comes out, and names every setting."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import doc_pages
from doc_pages import Reader
from mizzen.serve.runtimes.huggingface.settings import Settings
from mizzen.serve.runtimes.huggingface.task import TASKS

PAGE = doc_pages.DOCS / "frameworks" / "huggingface.md"


@pytest.fixture
def reader() -> Iterator[Reader]:
    folder = Path(tempfile.mkdtemp(prefix="mz-"))
    someone = Reader(folder, None)
    try:
        yield someone
    finally:
        someone.end()
        shutil.rmtree(folder, ignore_errors=True)


def test_the_page_prints_what_comes_out(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch", "transformers", "openai"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    if shutil.which("curl") is None:
        pytest.skip("no curl")
    # The time of an answer is never the page's.
    monkeypatch.setattr(doc_pages, "_MASKS", (*doc_pages._MASKS, (doc_pages.re.compile(r'"created":\d+'), "<time>")))
    reader.follow(PAGE)


def test_every_task_and_setting_is_on_the_page() -> None:
    text = PAGE.read_text()
    names = set(Settings.__struct_fields__) - {"allow_longer", "upstream", "upstream_command"}
    names -= {"model_revision", "tokenizer_revision"}  # of the hub, from which nothing is fetched here
    assert {name for name in (*names, *TASKS) if f"`{name}" not in text} == set()
