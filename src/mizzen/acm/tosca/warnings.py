"""What ONAP's runtime commissions without a word, and what will go wrong later: told, never refused."""

from __future__ import annotations

from mizzen.acm.tosca.composition import composition_nodes, identifiers_of, is_element, node_templates
from mizzen.acm.tosca.echo import Template
from mizzen.acm.tosca.hints import nearest
from mizzen.acm.tosca.names import Names
from mizzen.acm.tosca.nodes import Document
from mizzen.acm.tosca.problems import Path, Problem

_TEMPLATES: Path = ("topology_template", "node_templates")
_OPERATORS = (
    "equal",
    "greater_than",
    "greater_or_equal",
    "less_than",
    "less_or_equal",
    "valid_values",
    "in_range",
)
# One page of them is enough to act on.
_MOST = 100


def warnings(document: Document, template: Template, names: Names) -> list[Problem]:
    """The composition's list against the node templates, and the constraints that are dropped."""
    return [*_list_of_elements(document, template, names), *_dropped_constraints(document, template)][:_MOST]


def _list_of_elements(document: Document, template: Template, names: Names) -> list[Problem]:
    nodes = node_templates(template)
    elements = [name for name, node in nodes.items() if is_element(node, template, names)]
    found = []
    for composition in composition_nodes(template, names):
        place = (*_TEMPLATES, composition, "properties", "elements")
        listed = identifiers_of(nodes[composition])
        for index, identifier in listed.items():
            node = nodes.get(identifier.name)
            if node is None:
                near = nearest(identifier.name, elements)
                hint = f"did you mean {near}?" if near else "no instance can be made of it"
                found.append(
                    document.problem((*place, index, "name"), f"no node template is called {identifier.name}", hint)
                )
            elif node["version"] != identifier.version:
                message = f"the node template {identifier.name} has the version {node['version']}"
                hint = "no instance can be made of a definition that lists another version"
                found.append(document.problem((*place, index, "version"), message, hint))
        named = {identifier.name for identifier in listed.values()}
        for name in elements:
            if name not in named:
                message = f"the composition does not list the element {name}"
                hint = "it is primed, but no instance can have it: add it to the properties.elements of the composition"
                found.append(document.problem((*_TEMPLATES, name), message, f"{hint} {composition}", key=True))
    return found


def _dropped_constraints(document: Document, template: Template) -> list[Problem]:
    found = []
    for section in ("data_types", "node_types"):
        for name in template[section]:
            properties = document.value[section][name].get("properties") or {}
            for prop, definition in properties.items():
                for index, constraint in enumerate(definition.get("constraints") or []):
                    for operator in constraint:
                        if operator in _OPERATORS:
                            continue
                        right = operator.replace("-", "_")
                        hint = f"did you mean {right}?" if right in _OPERATORS else f"known are {', '.join(_OPERATORS)}"
                        path = (section, name, "properties", prop, "constraints", index, operator)
                        message = f"the constraint {operator} is not known, and is dropped"
                        found.append(document.problem(path, message, hint, key=True))
    return found
