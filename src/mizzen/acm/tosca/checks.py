"""The checks that ONAP's runtime makes of a definition before it commissions it, all of them, with places and hints.

The runtime has three ways to refuse: a value it cannot read or hold ends at once, with one text; a definition without
an element ends with another; all that is left is collected into one list. A person is told of everything together, a
client gets the text that the runtime would have sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mizzen.acm.tosca.composition import composition_nodes, is_element
from mizzen.acm.tosca.echo import Converted, Template, convert
from mizzen.acm.tosca.hints import nearest
from mizzen.acm.tosca.intake import NULL_VERSION
from mizzen.acm.tosca.javatext import java_text
from mizzen.acm.tosca.names import Names
from mizzen.acm.tosca.nodes import Document
from mizzen.acm.tosca.problems import NOT_READABLE, Path, Problem, Report, in_order
from mizzen.acm.tosca.warnings import warnings

BUILT_IN_TYPES = (
    "string",
    "integer",
    "float",
    "boolean",
    "timestamp",
    "null",
    "list",
    "map",
    "object",
    "scalar-unit.size",
    "scalar-unit.time",
    "scalar-unit.frequency",
    "scalar-unit.bitrate",
    "tosca.datatypes.TimeInterval",
)

_TEMPLATES: Path = ("topology_template", "node_templates")
# Looking for the nearest name is the dear part of a check.
_HINTS = 50
# More is read by nobody; the runtime's own text still has a line for each.
_MOST = 500


def check(document: Document, names: Names | None = None) -> Report:
    """All that stands against commissioning a definition.

    Args:
        names: the type names of the installation; None takes ONAP's defaults.
    """
    names = names or Names()
    converted = convert(document.value)
    if converted.shapes:
        problems = [document.problem(shape.path, shape.message, shape.hint) for shape in converted.shapes]
        first = in_order(problems)[0]
        return Report(in_order(problems), (), f"{NOT_READABLE} {first.path}: {first.message}", 400)
    return _Check(document, converted, names).report()


class _Check:
    def __init__(self, document: Document, converted: Converted, names: Names) -> None:
        self._document = document
        self._converted = converted
        self._template = converted.template
        self._names = names
        self._problems: list[Problem] = []
        self._lines: list[str] = []
        self._meant: dict[tuple[str, str], str] = {}
        # Where the type itself cannot be held there is none to look for.
        self._refused = {
            refusal.path[:-1] if refusal.path[-1] in ("type", "type_version") else refusal.path
            for refusal in converted.refusals
        }

    def report(self) -> Report:
        stop = self._parts() or self._element()
        for refusal in self._converted.refusals:
            self._tell(refusal.path, refusal.message, refusal.hint, key=refusal.key)
        stop = stop or next(((refusal.details, refusal.status) for refusal in self._converted.refusals), None)
        # From here on in the order of the runtime's lines.
        self._ancestors()
        self._data_types()
        self._types_of_templates()
        found = warnings(self._document, self._template, self._names)
        if not self._problems:
            return Report(warnings=in_order(found))
        head = '"AutomationCompositionDefinition" INVALID, item has status INVALID\n'
        details, status = stop or (head + "".join(self._lines), 400)
        problems = in_order(self._problems)
        if len(problems) > _MOST:
            rest = Problem("", None, None, f"{len(problems) - _MOST:,} more problems are not shown")
            problems = (*problems[:_MOST], rest)
        return Report(problems, in_order(found), details, status)

    def _tell(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        self._problems.append(self._document.problem(path, message, hint, key=key))

    def _line(self, item: str, value: str, said: str) -> None:
        self._lines.append(f'  item "{item}" value "{value}" INVALID, {said}\n')

    def _parts(self) -> tuple[str, int] | None:
        missing: list[tuple[Path, str]] = []
        if "topology_template" not in self._template:
            missing.append(((), "topology_template"))
        elif "node_templates" not in self._template["topology_template"]:
            missing.append((("topology_template",), "node_templates"))
        if self._document.value.get("node_types") is None:
            missing.append(((), "node_types"))
        for path, name in missing:
            hint = f"{name}: holds the {name.replace('_', ' ')} of the definition"
            self._tell(path, f"{name} is missing", hint, key=True)
        return (f"java.lang.NullPointerException {missing[0][1]} is null", 500) if missing else None

    def _element(self) -> tuple[str, int] | None:
        templates = self._templates()
        if any(is_element(template, self._template, self._names) for template in templates.values()):
            return None
        said = f"NodeTemplate with element type {self._names.element} must exist!"
        if templates or "node_templates" in self._template.get("topology_template", {}):
            hint = f"give one the type {self._names.element}, or a node type that is derived_from it"
            self._tell(_TEMPLATES, "no node template is an automation composition element", hint, key=True)
        return said, 400

    def _templates(self) -> dict[str, Template]:
        templates: dict[str, Template] = self._template.get("topology_template", {}).get("node_templates", {})
        return templates

    def _ancestors(self) -> None:
        template = self._template
        for section in ("data_types", "capability_types", "node_types", "relationship_types", "policy_types"):
            self._parents(template[section], (section,), _references([template[section]]))
        requirements = {path: list(groups) for path, groups in self._requirements()}
        required = _references([group for groups in requirements.values() for _, group in groups])
        for name in template["node_types"]:
            for path, group in requirements.get(("node_types", name), ()):
                self._parents(group, path, required)
        self._composition()
        self._parents(self._templates(), _TEMPLATES, _references([self._templates()]))
        policies = list(self._policies())
        policy_references = _references([group for _, group in policies])
        for path, group in policies:
            self._parents(group, path, policy_references)
        capabilities = [
            ((*_TEMPLATES, name, "capabilities"), node.get("capabilities") or {})
            for name, node in self._templates().items()
        ]
        capability_references = _references([group for _, group in capabilities])
        for path, group in capabilities:
            self._parents(group, path, capability_references)
            for place, needed in requirements.get(path[:3], ()):
                self._parents(needed, place, required)

    def _parents(self, concepts: dict[str, Template], path: Path, references: frozenset[str]) -> None:
        for name, concept in concepts.items():
            parent = concept.get("derived_from")
            place = (*path, name, "derived_from")
            if parent is None or parent.endswith(".Root"):
                continue
            if parent == name:
                self._line("entity type", f"{name}:{concept['version']}", "ancestor of itself")
                self._tell(place, f"{name} is derived from itself", "a base type ends in .Root")
            elif name in _line_of(parent, concepts):
                self._line("entity type", f"{name}:{concept['version']}", "ancestor of itself")
                self._tell(place, f"{name} is derived from itself, by way of {parent}", "a base type ends in .Root")
            elif parent not in references:
                self._line("parent", parent, "not found")
                near = self._nearest(parent, str(path[0]), concepts)
                hint = (
                    f"did you mean {near}?" if near else f"define it under {path[-1]}, or derive from a type in .Root"
                )
                self._tell(place, f"the parent {parent} is not defined", hint)

    def _composition(self) -> None:
        templates = self._templates()
        found = composition_nodes(self._template, self._names)
        wanted = self._names.composition
        if len(found) == 1:
            return
        value = _shown_templates(self._template) if "topology_template" in self._template else "null"
        if not found:
            self._line("TopologyTemplate", value, f"NodeTemplate with type {wanted} must exist!")
            others = {
                n["type"]: name for name, n in templates.items() if not is_element(n, self._template, self._names)
            }
            near = nearest(wanted, others)
            if near:
                message = f"no node template is the composition: this one has the type {near}"
                self._tell((*_TEMPLATES, others[near], "type"), message, f"did you mean {wanted}?")
            elif templates:
                hint = f"add one with type: {wanted} and the list of its elements"
                self._tell(_TEMPLATES, "no node template is the composition", hint, key=True)
            return
        self._line("TopologyTemplate", value, f"NodeTemplate with type {wanted} not allowed to be more than one!")
        for name in found[1:]:
            message = f"a second node template is the composition; the first is {found[0]}"
            self._tell((*_TEMPLATES, name, "type"), message, "a definition has one; list all elements in it")

    def _data_types(self) -> None:
        known = self._template["data_types"]
        for section in ("data_types", "policy_types", "node_types"):
            for name, owner in self._template[section].items():
                told: dict[tuple[str, str], None] = {}
                for place, kind, version in _referenced(owner, (section, name)):
                    built_in = kind in BUILT_IN_TYPES and version == NULL_VERSION
                    if built_in or _defined(known, kind, version) or place[:-1] in self._refused:
                        continue
                    told[(kind, version)] = None
                    self._tell(place, *self._no_data_type(kind, version))
                for kind, version in told:
                    self._line("data type", f"{kind}:{version}", "not found")

    def _no_data_type(self, kind: str, version: str) -> tuple[str, str]:
        known = self._template["data_types"]
        called = kind if version == NULL_VERSION else f"{kind} {version}"
        message = f"the data type {called} is not defined"
        if kind in known:
            return message, _other_version(known[kind]["version"], version)
        if kind in BUILT_IN_TYPES:
            return message, f"{kind} is built in and has no version: leave out type_version"
        near = self._nearest(kind, "data_types", [*BUILT_IN_TYPES, *known])
        if near in known and known[near]["version"] != NULL_VERSION:
            return message, f"did you mean {near}, type_version: {known[near]['version']}?"
        return message, f"did you mean {near}?" if near else "define it under data_types"

    def _types_of_templates(self) -> None:
        for path, group in self._policies():
            for name, policy in group.items():
                self._check_type((*path, name), policy, "policy_types", "policy type")
        for name, node in self._templates().items():
            self._check_type((*_TEMPLATES, name), node, "node_types", "node Template")

    def _check_type(self, path: Path, typed: Template, section: str, item: str) -> None:
        kind, version = typed["type"], typed["type_version"]
        known = self._template[section]
        if _defined(known, kind, version) or path in self._refused:
            return
        self._line(item, f"DocConceptKey(name={kind}, version={version})", "not found")
        message = f"the {section.rstrip('s').replace('_', ' ')} {kind} {version} is not defined"
        if kind in known:
            self._tell((*path, "type_version"), message, _other_version(known[kind]["version"], version))
            return
        near = self._nearest(kind, section, known)
        hint = f"did you mean {near}, type_version: {known[near]['version']}?" if near else f"define it under {section}"
        self._tell((*path, "type"), message, hint)

    def _policies(self) -> Iterator[tuple[Path, dict[str, Template]]]:
        for index, group in enumerate(self._template.get("topology_template", {}).get("policies", [])):
            yield ("topology_template", "policies", index), group

    def _requirements(self) -> Iterator[tuple[Path, Iterator[tuple[Path, dict[str, Template]]]]]:
        """By the path of the node type or node template: its requirements, with their paths."""
        owners: list[tuple[Path, dict[str, Template]]] = [
            (("node_types",), self._template["node_types"]),
            (_TEMPLATES, self._templates()),
        ]
        for path, concepts in owners:
            for name, concept in concepts.items():
                here = (*path, name)
                yield here, (((*here, "requirements", i), g) for i, g in enumerate(concept.get("requirements") or []))

    def _nearest(self, name: str, among: str, candidates: Iterable[str]) -> str:
        """The nearest of the candidates, which are the same for one ``among``."""
        if (name, among) not in self._meant:
            self._meant[name, among] = nearest(name, candidates) if len(self._meant) < _HINTS else ""
        return self._meant[name, among]


def _references(groups: list[dict[str, Template]]) -> frozenset[str]:
    """How concepts may be referred to: by ``name:version``, and by name alone as a parent."""
    found = set()
    for group in groups:
        for name, concept in group.items():
            found |= {name, f"{name}:{concept['version']}"}
    return frozenset(found)


def _defined(known: dict[str, Template], name: str, version: str) -> bool:
    return name in known and known[name]["version"] == version


def _referenced(owner: Template, path: Path) -> Iterator[tuple[Path, str, str]]:
    """The types that a type's properties refer to: their own, and those of their entries."""
    for name, prop in owner.get("properties", {}).items():
        if prop:
            yield (*path, "properties", name, "type"), prop["type"], prop["type_version"]
            entry = prop.get("entry_schema")
            if entry:
                yield (*path, "properties", name, "entry_schema", "type"), entry["type"], entry["type_version"]


def _other_version(defined: str, asked: str) -> str:
    if defined == NULL_VERSION:
        return f'it is defined without a version: leave out type_version, or give it version: "{asked}"'
    return f"it is defined as version {defined}: write type_version: {defined}"


def _shown_templates(template: Template) -> str:
    """The node templates as the runtime prints them into its text."""
    nodes = template["topology_template"].get("node_templates")
    if nodes is None:
        return "null"
    shown = []
    for name, node in nodes.items():
        typed = "type={}, typeVersion={}, properties={}".format(
            node["type"], node["type_version"], java_text(node.get("properties"))
        )
        lists = (
            f"requirements={java_text(node.get('requirements'))}, capabilities={java_text(node.get('capabilities'))}"
        )
        body = f"super=DocToscaWithTypeAndStringProperties({typed}), {lists}"
        shown.append(f"{name}:{node['version']}=DocToscaNodeTemplate({body})")
    return "{" + ", ".join(shown) + "}"


def _line_of(name: str, concepts: Mapping[str, Template]) -> set[str]:
    """A type and all that it is derived from, as far as it is defined here."""
    found: set[str] = set()
    while name in concepts and name not in found:
        found.add(name)
        name = concepts[name].get("derived_from") or ""
    return found
