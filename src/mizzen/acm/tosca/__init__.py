"""TOSCA as automation compositions use it: definitions and instances, read, checked, normalised and asked about.

Text comes in by :mod:`.parse`, which keeps the line and column of every value. :mod:`.checks` and :mod:`.instance` say
what is wrong twice over: as a list that leads a person to the line, and as the very text that ONAP's runtime answers
with, because its clients read that. :mod:`.echo` gives the definition the shape in which the runtime hands it out
again; :mod:`.composition` and :mod:`.fields` answer what runtime and page ask of that shape. :mod:`.offline` does all
of it for a file.
"""

from __future__ import annotations

from mizzen.acm.tosca.checks import check
from mizzen.acm.tosca.composition import Element, elements, listed, timeouts
from mizzen.acm.tosca.echo import normalise
from mizzen.acm.tosca.fields import Field, fields, instance_fields, sensitive_paths, transform
from mizzen.acm.tosca.instance import InstanceElement, InstanceRequest, check_instance, merge, read_instance
from mizzen.acm.tosca.names import Names
from mizzen.acm.tosca.nodes import Document
from mizzen.acm.tosca.offline import validate
from mizzen.acm.tosca.parse import read
from mizzen.acm.tosca.problems import Problem, Report, Unreadable

__all__ = [
    "Document",
    "Element",
    "Field",
    "InstanceElement",
    "InstanceRequest",
    "Names",
    "Problem",
    "Report",
    "Unreadable",
    "check",
    "check_instance",
    "elements",
    "fields",
    "instance_fields",
    "listed",
    "merge",
    "normalise",
    "read",
    "read_instance",
    "sensitive_paths",
    "timeouts",
    "transform",
    "validate",
]
