"""The verdicts and the echo of ONAP's own classes."""

import json
from pathlib import Path
from typing import Any

import pytest

from mizzen.acm.tosca import Names, check, elements, normalise, read, read_instance, validate

DATA = Path(__file__).parents[2] / "data" / "acm"
SHARED = Path(__file__).parents[4] / "shared" / "data" / "acm"
VERDICTS: dict[str, dict[str, Any]] = json.loads((DATA / "expected-validation.json").read_text())["definitions"]


def shared(name: str) -> Path:
    if not (SHARED / name).exists():
        pytest.skip(f"{name} is not beside this checkout")
    return SHARED / name


@pytest.mark.parametrize("name", VERDICTS)
def test_a_published_definition_gets_the_verdict_of_the_runtime(name: str) -> None:
    expected = VERDICTS[name]
    report = check(read(shared(name).read_bytes()))
    assert report.details == expected.get("errorDetails", "")
    assert report.ok == expected["valid"]
    assert report.status == (200 if expected["valid"] else expected["http"])
    assert len(report.problems) == report.details.count("\n  item")


def test_the_elements_are_those_that_the_runtime_sees() -> None:
    for name, expected in VERDICTS.items():
        document = read(shared(name).read_bytes())
        found = [f"{e.name} type {e.type} {e.type_version}" for e in elements(normalise(document), Names())]
        assert found == expected.get("elements", found)
        assert len(found) == 1


def test_the_problems_lead_to_the_lines_that_have_to_change() -> None:
    report = validate(shared("kserve-docs/tosca-kserve-participant.yml"))
    assert [(problem.line, problem.column) for problem in report.problems] == [(17, 15), (79, 17), (108, 21)]
    version, name, node = report.problems
    assert "defined without a version" in version.hint
    assert "KserveInferenceEntity, type_version: 1.0.0?" in name.hint
    assert node.hint == "it is defined as version 1.0.1: write type_version: 1.0.1"


def test_the_echo_is_that_of_the_runtime() -> None:
    """Also in the order of the members, which the page shows."""
    golden = json.loads((DATA / "rest" / "rest-02-composition-get-commissioned.json").read_text())
    document = read(shared("kserve-rapp/compositions.json").read_bytes())
    echo = normalise(document, composition_id=golden["compositionId"])
    assert json.dumps(echo) == json.dumps(golden["serviceTemplate"])


def test_the_echo_of_the_echo_is_itself() -> None:
    golden = json.loads((DATA / "rest" / "rest-02-composition-get-commissioned.json").read_text())["serviceTemplate"]
    assert normalise(read(json.dumps(golden))) == golden


def test_the_node_template_on_the_wire_is_that_of_the_definition() -> None:
    golden = json.loads((DATA / "wire" / "wire-05-PARTICIPANT_PRIME-prime.json").read_text())
    [sent] = golden["participantDefinitionUpdates"][0]["automationCompositionElementDefinitionList"]
    [element] = elements(normalise(read(shared("kserve-rapp/compositions.json").read_bytes())))
    assert element.node_template == sent["automationCompositionElementToscaNodeTemplate"]
    assert element.identifier.plain() == sent["acElementDefinitionId"]


@pytest.mark.parametrize(
    ("name", "composition"),
    [
        ("kserve-rapp/kserve-instance.json", "kserve-rapp/compositions.json"),
        ("kserve-docs/automation-composition-kserve.yml", "kserve-rapp/compositions.json"),
    ],
)
def test_the_published_instances_fit(name: str, composition: str) -> None:
    assert validate(shared(name), composition=shared(composition)).ok
    request = read_instance(shared(name).read_bytes(), composition_id="5eed0001-0003-4000-8000-000000000003")
    assert request.composition_id == "5eed0001-0003-4000-8000-000000000003"
    [element] = request.elements.values()
    assert json.loads(element.properties["kserveInferenceEntities"][0]["payload"])["kind"] == "InferenceService"
