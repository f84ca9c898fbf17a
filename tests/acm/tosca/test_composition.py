"""What a runtime asks of a stored definition."""

import json
from typing import Any

import pytest

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.tosca import elements, listed, normalise, read, timeouts

NODE = "onap.policy.clamp.ac.element.KserveAutomationCompositionElement"
COMPOSITION_NODE = "onap.policy.clamp.ac.element.AutomationCompositionDefinition"


def with_properties(definition: dict[str, Any], **properties: Any) -> dict[str, Any]:
    definition["topology_template"]["node_templates"][NODE]["properties"] |= properties
    return normalise(read(json.dumps(definition)))


def test_elements_are_told_apart_from_participants_and_the_composition(definition: dict[str, Any]) -> None:
    [element] = elements(with_properties(definition))
    assert element.identifier == Identifier(NODE, "1.2.3")
    assert (element.type, element.type_version) == (
        "org.onap.policy.clamp.acm.KserveAutomationCompositionElement",
        "1.0.1",
    )
    assert element.properties["uninitializedToPassiveTimeout"] == 300
    assert element.node_template["name"] == NODE
    assert listed(with_properties(definition)) == [element.identifier]


@pytest.mark.parametrize(("given", "phase"), [(3, 3), ("2", 2), (None, 0), ("x", 0), (True, 0), ({}, 0)])
def test_the_start_phase_is_a_number_or_zero(definition: dict[str, Any], given: Any, phase: int) -> None:
    [element] = elements(with_properties(definition, startPhase=given))
    assert element.start_phase == phase


@pytest.mark.parametrize(
    ("stage", "prepare", "migrate"),
    [
        (None, (0,), (0,)),
        ([2, 0, 2], (0,), (0, 2)),
        ({"prepare": [1, 0], "migrate": [3]}, (0, 1), (3,)),
        ({"prepare": []}, (0,), (0,)),
        ("1", (0,), (0,)),
        (["1", "x"], (0,), (1,)),
    ],
)
def test_stages(definition: dict[str, Any], stage: Any, prepare: tuple[int, ...], migrate: tuple[int, ...]) -> None:
    [element] = elements(with_properties(definition, stage=stage))
    assert (element.prepare_stages, element.migrate_stages) == (prepare, migrate)


def test_timeouts_are_those_of_the_metadata(definition: dict[str, Any]) -> None:
    assert timeouts(with_properties(definition)) == {"primeTimeoutMs": 60000, "deprimeTimeoutMs": 60000}
    definition["metadata"] = {"primeTimeoutMs": "1500", "deprimeTimeoutMs": "soon"}
    assert timeouts(with_properties(definition)) == {"primeTimeoutMs": 1500}
    definition["metadata"] = {"primeTimeoutMs": -1}
    assert timeouts(with_properties(definition)) == {}


def test_a_list_that_is_none_lists_nothing(definition: dict[str, Any]) -> None:
    properties = definition["topology_template"]["node_templates"][COMPOSITION_NODE]["properties"]
    properties["elements"] = [{"name": "a", "version": "1.0.0"}, "b 2.0.0", {"name": "c"}, 4]
    assert listed(with_properties(definition)) == [Identifier("a", "1.0.0"), Identifier("b", "2.0.0")]
    properties["elements"] = {"name": "a"}
    assert listed(with_properties(definition)) == []
    del definition["topology_template"]["node_templates"][COMPOSITION_NODE]
    assert listed(with_properties(definition)) == []
