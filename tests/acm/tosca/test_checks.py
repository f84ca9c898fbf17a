"""The checks on commission: for each, the runtime's text, and the place and the advice for a person."""

import json
from typing import Any

import pytest

from mizzen.acm import samples
from mizzen.acm.tosca import Names, Report, check, read

HEAD = '"AutomationCompositionDefinition" INVALID, item has status INVALID\n'
ELEMENT = "org.onap.policy.clamp.acm.AutomationCompositionElement"
COMPOSITION = "org.onap.policy.clamp.acm.AutomationComposition"
KSERVE = "org.onap.policy.clamp.acm.KserveAutomationCompositionElement"
NODE = "onap.policy.clamp.ac.element.KserveAutomationCompositionElement"
COMPOSITION_NODE = "onap.policy.clamp.ac.element.AutomationCompositionDefinition"
ENTITY = "org.onap.datatypes.policy.clamp.acm.kserveAutomationCompositionElement.KserveInferenceEntity"
VERSION_REGEXP = r"^(\d+.){2}\d+$"


def checked(value: dict[str, Any], names: Names | None = None) -> Report:
    return check(read(json.dumps(value, indent=1)), names)


def templates(definition: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = definition["topology_template"]["node_templates"]
    return found


def only(report: Report) -> tuple[str, str]:
    [problem] = report.problems
    assert problem.line is not None
    return problem.path, problem.hint


def test_a_right_definition_has_no_problem(definition: dict[str, Any]) -> None:
    assert checked(definition) == Report()


def test_a_parent_must_exist(definition: dict[str, Any]) -> None:
    definition["data_types"]["x.Sub"] = {"derived_from": ENTITY + "s"}
    definition["data_types"]["x.Versioned"] = {"derived_from": ENTITY + ":1.0.0"}
    report = checked(definition)
    assert report.details == HEAD + f'  item "parent" value "{ENTITY}s" INVALID, not found\n'
    assert only(report) == ('data_types["x.Sub"].derived_from', f"did you mean {ENTITY}?")


def test_a_type_is_no_child_of_its_own(definition: dict[str, Any]) -> None:
    definition["data_types"][ENTITY]["derived_from"] = ENTITY
    report = checked(definition)
    assert report.details == HEAD + f'  item "entity type" value "{ENTITY}:1.0.0" INVALID, ancestor of itself\n'
    assert only(report) == (f'data_types["{ENTITY}"].derived_from', "a base type ends in .Root")


def test_nor_by_way_of_others(definition: dict[str, Any]) -> None:
    definition["data_types"]["x.Son"] = {"derived_from": ENTITY}
    definition["data_types"][ENTITY]["derived_from"] = "x.Son"
    report = checked(definition)
    for name in (f"{ENTITY}:1.0.0", "x.Son:0.0.0"):
        assert f'item "entity type" value "{name}" INVALID, ancestor of itself' in report.details
    assert [one.message for one in report.problems] == [
        f"{ENTITY} is derived from itself, by way of x.Son",
        f"x.Son is derived from itself, by way of {ENTITY}",
    ]


def test_one_node_template_is_the_composition(definition: dict[str, Any]) -> None:
    templates(definition)[COMPOSITION_NODE]["type"] = COMPOSITION + "s"
    report = checked(definition)
    assert report.status == 400
    assert f"NodeTemplate with type {COMPOSITION} must exist!\n" in report.details
    assert report.details.startswith(
        HEAD + '  item "TopologyTemplate" value "{org.onap.policy.clamp.acm.KserveParticipant'
    )
    assert report.problems[0].hint == f"did you mean {COMPOSITION}?"


def test_the_runtime_prints_the_node_templates_as_java_does(definition: dict[str, Any]) -> None:
    definition["topology_template"]["node_templates"] = {
        "e": {
            "type": ELEMENT,
            "type_version": "1.0.1",
            "version": "1.0.0",
            "properties": {"a": [1, True, None, {"b": 2.0}]},
        }
    }
    shown = (
        "{e:1.0.0=DocToscaNodeTemplate(super=DocToscaWithTypeAndStringProperties(type=" + ELEMENT + ", "
        "typeVersion=1.0.1, properties={a=[1, true, null, {b=2.0}]}), requirements=null, capabilities=null)}"
    )
    report = checked(definition)
    said = f"NodeTemplate with type {COMPOSITION} must exist!"
    assert report.details == HEAD + f'  item "TopologyTemplate" value "{shown}" INVALID, {said}\n'


def test_no_more_than_one_is(definition: dict[str, Any]) -> None:
    templates(definition)["second"] = {**templates(definition)[COMPOSITION_NODE]}
    report = checked(definition)
    assert f"INVALID, NodeTemplate with type {COMPOSITION} not allowed to be more than one!\n" in report.details
    assert only(report)[0] == "topology_template.node_templates.second.type"


def test_a_data_type_must_exist_in_the_version_that_is_asked_for(definition: dict[str, Any]) -> None:
    properties = definition["data_types"][ENTITY]["properties"]
    properties["name"]["type"] = "String"
    properties["namespace"]["type"] = "String"
    properties["payload"]["type_version"] = "1.0.0"
    definition["node_types"][KSERVE]["properties"]["kserveInferenceEntities"]["entry_schema"]["type_version"] = "1.0.1"
    definition["node_types"][KSERVE]["properties"]["extra"] = {"type": "map", "entry_schema": {"type": "dictionary"}}
    report = checked(definition)
    assert report.details == HEAD + "".join(
        f'  item "data type" value "{name}" INVALID, not found\n'
        for name in ("String:0.0.0", "string:1.0.0", f"{ENTITY}:1.0.1", "dictionary:0.0.0")
    )
    hints = {problem.path.rpartition("properties.")[2]: problem.hint for problem in report.problems}
    assert hints == {
        "name.type": "did you mean string?",
        "namespace.type": "did you mean string?",
        "payload.type": "string is built in and has no version: leave out type_version",
        "kserveInferenceEntities.entry_schema.type": "it is defined as version 1.0.0: write type_version: 1.0.0",
        "extra.entry_schema.type": "define it under data_types",
    }


def test_a_type_may_be_named_with_its_version_in_one(definition: dict[str, Any]) -> None:
    entities = definition["node_types"][KSERVE]["properties"]["kserveInferenceEntities"]
    entities["entry_schema"] = {"type": f"{ENTITY}:1.0.0"}
    assert checked(definition).ok


def test_policies_are_checked_against_policy_types(definition: dict[str, Any]) -> None:
    definition["policy_types"] = {"p.Monitor": {"version": "1.0.0", "properties": {"x": {"type": "strin"}}}}
    definition["topology_template"]["policies"] = [
        {"one": {"version": "1.0.0", "type": "p.Monitr", "type_version": "1.0.0"}}
    ]
    report = checked(definition)
    assert report.details == HEAD + (
        '  item "data type" value "strin:0.0.0" INVALID, not found\n'
        '  item "policy type" value "DocConceptKey(name=p.Monitr, version=1.0.0)" INVALID, not found\n'
    )
    assert {problem.hint for problem in report.problems} == {
        "did you mean p.Monitor, type_version: 1.0.0?",
        "did you mean string?",
    }


def test_the_type_of_a_node_template_must_exist(definition: dict[str, Any]) -> None:
    templates(definition)[NODE]["type_version"] = "1.0.2"
    report = checked(definition)
    assert report.details == HEAD + (
        f'  item "node Template" value "DocConceptKey(name={KSERVE}, version=1.0.2)" INVALID, not found\n'
    )
    path, hint = only(report)
    assert path == f'topology_template.node_templates["{NODE}"].type_version'
    assert hint == "it is defined as version 1.0.1: write type_version: 1.0.1"


def test_there_must_be_an_element(definition: dict[str, Any]) -> None:
    report = checked(definition, Names(element="some.other.Element"))
    assert (report.status, report.details) == (400, "NodeTemplate with element type some.other.Element must exist!")
    assert only(report)[0] == "topology_template.node_templates"


def test_an_element_is_known_by_its_type_or_its_parent_and_no_further(definition: dict[str, Any]) -> None:
    definition["node_types"]["a.Middle"] = {"version": "1.0.0", "derived_from": ELEMENT}
    definition["node_types"]["a.Leaf"] = {"version": "1.0.0", "derived_from": "a.Middle"}
    templates(definition)[NODE] |= {"type": "a.Middle", "type_version": "1.0.0"}
    assert checked(definition).ok
    templates(definition)[NODE]["type"] = "a.Leaf"
    assert checked(definition).details == f"NodeTemplate with element type {ELEMENT} must exist!"


@pytest.mark.parametrize("missing", ["topology_template", "node_types"])
def test_what_the_runtime_stumbles_over_is_a_500(definition: dict[str, Any], missing: str) -> None:
    del definition[missing]
    report = checked(definition)
    assert report.status == 500
    assert report.details.startswith("java.lang.NullPointerException")
    assert f"{missing} is missing" in [problem.message for problem in report.problems]


def test_a_name_within_agrees_with_the_key(definition: dict[str, Any]) -> None:
    templates(definition)[NODE]["name"] = "another"
    report = checked(definition)
    said = f"Key {NODE}:1.2.3 field {NODE} does not match the value another in the concept field"
    assert (report.status, report.details) == (400, said)
    assert only(report)[0] == f'topology_template.node_templates["{NODE}"].name'


def test_a_template_names_its_type_and_version(definition: dict[str, Any]) -> None:
    del templates(definition)[NODE]["type_version"]
    report = checked(definition)
    assert report.status == 400
    assert report.details == (
        "Version not specified, the version of this TOSCA entity must be specified in the type_version field"
    )
    del templates(definition)[COMPOSITION_NODE]["type"]
    report = checked(definition)
    assert report.details.startswith("Version not specified"), "the first is told"
    assert "has no type" in " ".join(problem.message for problem in report.problems), "the person is told of both"
    templates(definition)[NODE]["type_version"] = "1.0.1"
    assert checked(definition).details == (
        "Type not specified, the type of this TOSCA entity must be specified in the type field"
    )


@pytest.mark.parametrize(
    ("written", "read_as", "hint"),
    [
        ("1.0", "1.0", '"1.0.0"'),
        ("1.10", "1.1", '"1.1.0"'),
        ("1", "1", '"1.0.0"'),
        ('"1.0.wrong"', "1.0.wrong", '"1.0.0"'),
        ("true", "true", '"1.0.0"'),
    ],
)
def test_a_version_is_three_numbers_and_yaml_makes_one_of_two(written: str, read_as: str, hint: str) -> None:
    text = samples.kserve_composition().replace("version: 2.3.4", f"version: {written}", 1)
    report = check(read(text))
    assert report.status == 500
    assert report.details == (
        f'java.lang.IllegalArgumentException parameter "version": value "{read_as}", '
        f'does not match regular expression "{VERSION_REGEXP}"'
    )
    [problem] = report.problems
    assert text.splitlines()[problem.line - 1][problem.column - 1 :] == written
    assert hint in problem.hint


def test_a_name_has_no_spaces(definition: dict[str, Any]) -> None:
    templates(definition)["my element"] = templates(definition)[NODE]
    report = checked(definition)
    assert report.status == 500
    assert report.details.startswith('java.lang.IllegalArgumentException parameter "name": value "my element"')
    assert only(report)[0] == 'topology_template.node_templates["my element"]'


def test_a_property_has_a_type(definition: dict[str, Any]) -> None:
    definition["data_types"][ENTITY]["properties"]["name"] = {"required": True}
    report = checked(definition)
    assert (report.status, only(report)) == (
        500,
        (f'data_types["{ENTITY}"].properties.name', "add type:"),
    )


def test_an_empty_definition_of_a_type_is_a_500(definition: dict[str, Any]) -> None:
    definition["node_types"]["x.Empty"] = None
    report = checked(definition)
    assert report.status == 500
    assert only(report)[0] == 'node_types["x.Empty"]'


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("node_types",), [], "node_types is a list; it has to be a mapping"),
        (("topology_template", "node_templates"), "x", "node_templates is a text; it has to be a mapping"),
        (("topology_template", "policies"), {}, "policies is a mapping; it has to be a list"),
        (("data_types", ENTITY), 1, f"{ENTITY} is a number; it has to be a mapping"),
        (("data_types", ENTITY, "version"), [1], "version is a list; it has to be a text"),
        (("data_types", ENTITY, "properties", "name"), "string", "name is a text; it has to be a mapping with a type"),
        (
            ("data_types", ENTITY, "properties", "name", "required"),
            "maybe",
            "required is a text; it has to be true or false",
        ),
        (("data_types", ENTITY, "properties", "name", "status"), "supported", "supported is no status"),
        (("data_types", ENTITY, "properties", "name", "entry_schema"), "string", "it has to be a mapping with a type"),
        (
            ("data_types", ENTITY, "properties", "name", "constraints"),
            {},
            "constraints is a mapping; it has to be a list",
        ),
        (("data_types", ENTITY, "properties", "name", "constraints"), ["x"], "it has to be a mapping of one operator"),
    ],
)
def test_a_value_of_the_wrong_kind_cannot_be_read(
    definition: dict[str, Any], path: tuple[str, ...], value: Any, said: str
) -> None:
    owner = definition
    for step in path[:-1]:
        owner = owner.setdefault(step, {})
    owner[path[-1]] = value
    report = checked(definition)
    assert report.status == 400
    assert report.details.startswith("org.springframework.http.converter.HttpMessageNotReadableException")
    assert said in report.problems[0].message


def test_everything_is_told_at_once_and_the_runtime_speaks_of_the_first(definition: dict[str, Any]) -> None:
    definition["data_types"][ENTITY]["version"] = "1.0"
    templates(definition)[NODE]["name"] = "another"
    definition["node_types"][KSERVE]["properties"]["kserveInferenceEntities"]["entry_schema"]["type"] = "x.Y"
    report = checked(definition)
    assert report.status == 500
    assert report.details.startswith("java.lang.IllegalArgumentException")
    assert len(report.problems) == 3
    assert [problem.line for problem in report.problems] == sorted(problem.line or 0 for problem in report.problems)


def test_what_goes_wrong_later_is_a_warning(definition: dict[str, Any]) -> None:
    listed = templates(definition)[COMPOSITION_NODE]["properties"]["elements"]
    listed[0]["version"] = "1.2.4"
    listed.append({"name": NODE + "x", "version": "1.2.3"})
    templates(definition)["extra"] = {**templates(definition)[NODE]}
    definition["data_types"][ENTITY]["properties"]["name"]["constraints"] = [{"greater-or-equal": 0}, {"min_length": 1}]
    report = checked(definition)
    assert report.ok
    assert (report.status, report.details) == (200, "")
    said = [(warning.message, warning.hint) for warning in report.warnings]
    assert ("the constraint greater-or-equal is not known, and is dropped", "did you mean greater_or_equal?") in said
    assert "the constraint min_length is not known, and is dropped" in [message for message, _ in said]
    assert "the composition does not list the element extra" in [message for message, _ in said]
    assert (f"no node template is called {NODE}x", f"did you mean {NODE}?") in said
    assert f"the node template {NODE} has the version 1.2.3" in [message for message, _ in said]


def test_requirements_and_capabilities_are_checked_too(definition: dict[str, Any]) -> None:
    typed = {"type": "t.T", "type_version": "1.0.0"}
    definition["node_types"][KSERVE]["requirements"] = [{"host": {**typed, "derived_from": "no.Such"}}]
    templates(definition)[NODE]["requirements"] = [{"link": {**typed, "derived_from": "host"}}]
    templates(definition)[NODE]["capabilities"] = {"run": {**typed, "derived_from": "walk"}}
    report = checked(definition)
    assert report.details == HEAD + "".join(
        f'  item "parent" value "{parent}" INVALID, not found\n' for parent in ("no.Such", "walk")
    )
    assert [problem.path.rpartition("]")[2] for problem in report.problems] == [
        ".host.derived_from",
        ".capabilities.run.derived_from",
    ]


def test_a_flood_of_problems_is_cut_for_the_person_alone(definition: dict[str, Any]) -> None:
    definition["data_types"] |= {f"x.T{n}": {"properties": {"p": {"type": f"y.U{n}"}}} for n in range(700)}
    report = checked(definition)
    assert report.details.count("\n  item") == 700
    assert len(report.problems) == 501
    assert report.problems[-1].message == "200 more problems are not shown"
