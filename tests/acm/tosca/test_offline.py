"""A file checked without a runtime."""

import json
from pathlib import Path

import pytest

from mizzen.acm import samples
from mizzen.acm.tosca import Names, read_instance, validate

COMPOSITION = samples.kserve_composition()
INSTANCE = samples.text(samples.INSTANCE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "composition.yaml").write_text(COMPOSITION)
    (tmp_path / "instance.yaml").write_text(INSTANCE)
    return tmp_path


def test_the_samples_have_no_problem_and_no_warning(folder: Path) -> None:
    report = validate(folder / "composition.yaml")
    assert (report.problems, report.warnings, report.status) == ((), (), 200)
    assert validate(str(folder / "instance.yaml")).ok
    assert validate(folder / "instance.yaml", composition=folder / "composition.yaml").ok


def test_the_sample_is_filled_in() -> None:
    composition, uri = "5eed0001-0003-4000-8000-000000000003", 'file:///models/"quoted"'
    request = read_instance(samples.kserve_instance(composition, uri))
    [element] = request.elements.values()
    [entity] = element.properties["kserveInferenceEntities"]
    payload = json.loads(entity["payload"])
    assert payload["spec"]["predictor"]["model"]["storageUri"] == uri
    assert (payload["metadata"]["name"], payload["metadata"]["namespace"]) == (entity["name"], entity["namespace"])
    assert request.composition_id == composition


def test_bytes_are_taken_as_well_as_files() -> None:
    assert validate(COMPOSITION.encode()).ok
    assert not validate(b"node_types: {}").ok


def test_an_installation_may_have_names_of_its_own() -> None:
    report = validate(COMPOSITION.encode(), names=Names(element="my.Element"))
    assert report.details == "NodeTemplate with element type my.Element must exist!"


def test_an_instance_is_told_what_does_not_fit() -> None:
    wrong = INSTANCE.replace("version: 1.2.3", "version: 1.2.4").encode()
    assert validate(wrong).ok, "alone, nothing is known of its definition"
    [problem] = validate(wrong, composition=COMPOSITION.encode()).problems
    assert problem.hint == 'write version: "1.2.3"'


def test_a_definition_that_is_wrong_itself_settles_it() -> None:
    broken = COMPOSITION.replace("type_version: 1.0.1", "type_version: 1.0.9")
    [problem] = validate(INSTANCE.encode(), composition=broken.encode()).problems
    assert problem.message == "the definition has problems of its own"


def test_a_placeholder_outside_quotes_passes() -> None:
    assert validate(INSTANCE.replace('"{{compositionId}}"', "{{compositionId}}").encode()).ok


def test_what_is_no_file_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    [problem] = validate(tmp_path / "absent.yaml").problems
    assert "No such file" in problem.message
    [problem] = validate(tmp_path).problems
    assert "directory" in problem.message


def test_broken_text_is_shown_where_it_breaks(folder: Path) -> None:
    (folder / "broken.yaml").write_text("a: [1,\nb: 2\n")
    report = validate(folder / "broken.yaml")
    assert report.status == 400
    assert "broken.yaml:1:4" in report.render("broken.yaml", (folder / "broken.yaml").read_bytes())
