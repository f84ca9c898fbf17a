"""Models written for the kserve package answer here what KServe's server answers, with one import changed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

import kserve_samples
from custom_serving import Asker
from kserve_samples import ANSWERS, QUESTIONS, Question

RECORDED = json.loads(ANSWERS.read_text())


@pytest.fixture
def program(tmp_path: Path, start):
    """Start a sample as a program of its own."""

    def run(sample: str, *arguments: str, package: str = "mizzen.serve.kserve", **environ: str):
        file = tmp_path / f"{sample}.py"
        file.write_text(kserve_samples.source(sample, package))
        argv = [str(file), *arguments]
        code = f"import runpy, sys; sys.argv = {argv!r}; runpy.run_path({str(file)!r}, run_name='__main__')"
        return start(code=code, **environ)

    return run


@pytest.mark.parametrize("sample", dict.fromkeys(question.sample for question in QUESTIONS))
async def test_a_sample_answers_as_it_does_there(program, sample):
    process = program(sample, "--http_port=0", "--host=127.0.0.1", *kserve_samples.ARGUMENTS.get(sample, []))
    ask = Asker(await process.url())
    for question in QUESTIONS:
        if question.sample == sample:
            await agrees(ask, question)
    await ask.client.close()
    process.popen.send_signal(signal.SIGTERM)
    assert await process.ended() == 0


async def agrees(ask: Asker, question: Question) -> None:
    answer = await kserve_samples.put(ask, question)
    if question.status is not None:
        assert answer.status == question.status
        assert (question.text or "") in answer.body.decode()
        return
    assert kserve_samples.told(answer.status, answer.headers, answer.body) == RECORDED[question.name], question.name


def test_a_sample_differs_from_its_own_text_by_its_imports_alone():
    for sample in {question.sample for question in QUESTIONS}:
        changed = kserve_samples.source(sample, "mizzen.serve.kserve").splitlines()
        before = kserve_samples.source(sample, "kserve").splitlines()
        for mine, theirs in zip(changed, before, strict=True):
            assert mine == theirs or theirs.startswith(("import kserve", "from kserve")), theirs


async def test_the_names_that_most_models_use_are_in_mizzen_serve_itself(program):
    process = program("rows", "--http_port=0", "--host=127.0.0.1", package="mizzen.serve")
    ask = Asker(await process.url())
    for question in QUESTIONS:
        if question.sample == "rows":
            await agrees(ask, question)
    await ask.client.close()
