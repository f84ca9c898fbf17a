"""What the pages print is what comes out, and their links lead somewhere."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import doc_pages
from doc_pages import Reader, agrees, blocks, steps
from installed import kubectl_versions

FIRST = "getting-started.md"
# These start an installation themselves.
BEGIN = {FIRST, "acm.md"}
README = doc_pages.DOCS.parent / "README.md"
RUN = [page for page in doc_pages.pages() if any(block.runs for block in blocks(page))]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """A reader with a model, as the first page tells to train one."""
    pytest.importorskip("sklearn")
    folder = Path(tempfile.mkdtemp(prefix="mz-"))
    kubectl = next(iter(reversed(kubectl_versions())), None)
    someone = Reader(folder, kubectl)
    try:
        training = next(block for block in blocks(doc_pages.DOCS / FIRST) if block.file == "train.py")
        (folder / training.file).write_text(training.text)
        someone.output("python train.py")
        yield someone
    finally:
        someone.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_a_page_prints_what_comes_out(page: Path, reader: Reader) -> None:
    for module in sorted(doc_pages.modules(page)):
        pytest.importorskip(module, reason=f"{module} is not installed")
    if page.name == "acm.md":
        pytest.importorskip("confluent_kafka", reason="the extra acm is not installed")
    if page.name in BEGIN:
        reader.end()
    elif page.parent == doc_pages.DOCS:
        reader.ensure_up()
    reader.follow(page)


def test_something_is_run_on_every_page_that_teaches() -> None:
    assert {page.name for page in RUN} >= {
        FIRST,
        "acm.md",
        "cli.md",
        "inference-services.md",
        "recipes.md",
        "storage.md",
    }


@pytest.mark.parametrize("page", [*doc_pages.pages(), README], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(_FENCED.sub("", page.read_text())):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f"{page.name} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(found), f"{page.name} links to {target}, and there is no such heading"


def test_every_page_is_found_from_the_readme() -> None:
    found, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        found.add(page)
        targets = (target.partition("#")[0] for target in _LINK.findall(_FENCED.sub("", page.read_text())))
        pages = ((page.parent / target).resolve() for target in targets if target.endswith(".md"))
        waiting += [one for one in pages if one.exists() and one not in found]
    assert set(doc_pages.pages()) - found == set()


def anchors(page: Path) -> set[str]:
    """The names that headings of a page have in links, as GitHub makes them."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_what_is_compared_and_what_is_not() -> None:
    assert agrees("ready in 0.4 s", "ready in 12.0 s")
    assert agrees("NAME   AGE\niris   3s", "NAME       AGE\niris       2m10s")
    assert agrees("iris-predictor-q4s4vvp8t5-6lksd Running", "iris-predictor-bb4s4vvp8t-zzzzz Running")
    assert agrees("first\n...\nlast", "first\nsomething\nelse\nlast")
    assert agrees("at http://127.147.0.16:8080", "at http://127.20.3.4:8080")
    assert not agrees("READY True", "READY False")
    assert not agrees("at http://127.0.0.1:7080", "at http://127.20.3.4:7080")
    assert not agrees('{"predictions":[0]}', '{"predictions":[1]}')
    assert not agrees("first", "first\nsecond")


def test_a_block_is_taken_apart_into_commands_and_answers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n\n```console run\n$ echo a \\\n    b\na b\n$ true\n```\n")
    (block,) = blocks(page)
    found = steps(block)
    assert [(step.command, step.printed) for step in found] == [("echo a \\\n    b", "a b"), ("true", "")]
    assert [step.where for step in found] == ["page.md:4", "page.md:7"]


def test_the_tests_that_the_status_names_are_there() -> None:
    root = doc_pages.DOCS.parent
    named = re.findall(r"`(tests/[\w/.]+?)(?:::(\w+))?`", (doc_pages.DOCS / "status.md").read_text())
    assert len(named) > 40
    for path, test in named:
        assert (root / path).exists(), path
        assert not test or f"def {test}(" in (root / path).read_text(), f"{path} has no {test}"
