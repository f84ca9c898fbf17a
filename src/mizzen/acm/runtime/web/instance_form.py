"""The form of an instance: its name, and for each element of the definition the inputs of its properties.

The same form makes an instance, changes one, and carries one over to another definition; it becomes the document that
the API takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct

from mizzen.acm import samples
from mizzen.acm.runtime.service import Body
from mizzen.acm.runtime.web import inputs
from mizzen.acm.runtime.web.inputs import Input
from mizzen.acm.tosca.fields import Field
from mizzen.acm.tosca.parse import read

_OWN = ("name", "version", "description")


class ElementForm(Struct, kw_only=True):
    """Attributes:
    id: of the element in the instance; empty for one that is yet to be.
    """

    name: str
    version: str
    participant: str
    id: str
    description: str
    inputs: Input


class InstanceForm(Struct, kw_only=True):
    """Attributes:
    wrong: by the form's own fields, what is wrong with them.
    """

    name: str = ""
    version: str = "1.0.0"
    description: str = ""
    elements: list[ElementForm] = []
    wrong: dict[str, str] = {}

    @property
    def problems(self) -> list[Input]:
        return [bad for element in self.elements for bad in inputs.problems(element.inputs)]

    @property
    def good(self) -> bool:
        return not self.wrong and not self.problems


def for_new(offered: Sequence[Body]) -> InstanceForm:
    """Args:
    offered: as :meth:`Compositions.fields` has it.
    """
    return InstanceForm(elements=[_element(at, one, None) for at, one in enumerate(offered)])


def for_stored(offered: Sequence[Body], instance: Body) -> InstanceForm:
    """As an instance is: elements are matched by their definitions' names."""
    left = list(instance.get("elements", {}).values())
    elements = []
    for at, one in enumerate(offered):
        name = one["element"]["name"]
        found = next((element for element in left if element["definition"]["name"] == name), None)
        if found is not None:
            left.remove(found)
        elements.append(_element(at, one, found))
    name, version, description = (instance.get(one) or "" for one in _OWN)
    return InstanceForm(name=name, version=version, description=description, elements=elements)


def sample(offered: Sequence[Body]) -> InstanceForm | None:
    """The sample that ships with us, if it is one of this definition."""
    given: Body = read(samples.text(samples.INSTANCE)).value
    names = {element["definition"]["name"] for element in given["elements"].values()}
    if {one["element"]["name"] for one in offered} != names:
        return None
    fresh = {key: {**element, "id": ""} for key, element in given["elements"].items()}
    return for_stored(offered, {**given, "elements": fresh})


def _element(at: int, one: Body, stored: Body | None) -> ElementForm:
    properties = (stored or {}).get("properties", inputs.ABSENT)
    return ElementForm(
        name=one["element"]["name"],
        version=one["element"]["version"],
        participant=one.get("participantId") or "",
        id=(stored or {}).get("id", ""),
        description=(stored or {}).get("description") or "",
        inputs=inputs.of_value(_root(one), str(at), properties),
    )


def _root(one: Body) -> Field:
    """All fields of an element as one group; those that the definition settles for all instances are not asked for."""
    fields = tuple(msgspec.convert(field, Field) for field in one["fields"])
    return Field(
        name="", type="", required=True, fields=tuple(field for field in fields if not (field.common or field.given))
    )


def of_form(offered: Sequence[Body], form: Mapping[str, str]) -> InstanceForm:
    """What was sent."""
    name, version, description = (form.get(one, "").strip() for one in _OWN)
    found = InstanceForm(name=name, version=version, description=description)
    for at, one in enumerate(offered):
        found.elements.append(
            ElementForm(
                name=one["element"]["name"],
                version=one["element"]["version"],
                participant=one.get("participantId") or "",
                id=form.get(f"id/{at}", ""),
                description=form.get(f"description/{at}", "").strip(),
                inputs=inputs.of_form(_root(one), str(at), form),
            )
        )
    return found


def document(form: InstanceForm, composition: str, **more: Any) -> Body:
    """What the API is given; see :attr:`InstanceForm.good` before it is.

    Args:
        more: ``instanceId``, ``compositionTargetId``, ``precheck``.
    """
    form.wrong = {name: "A value is needed." for name in ("name", "version") if not getattr(form, name)}
    elements: dict[str, Any] = {}
    for element in form.elements:
        properties = inputs.value_of(element.inputs)
        identity = element.id or str(uuid4())
        elements[identity] = {
            "id": identity,
            "definition": {"name": element.name, "version": element.version},
            "properties": properties if isinstance(properties, dict) else {},
        }
        if element.description:
            elements[identity]["description"] = element.description
    found: Body = {"name": form.name, "version": form.version, "compositionId": composition, **more}
    if form.description:
        found["description"] = form.description
    return found | {"elements": elements}
