"""``isolation: process``: a model in a process of its own, which it may crash, stop or leak without harm to others.

The child is started anew and not forked, because nothing forks from a process that has run a model. It is asked over a
socket; tensors travel as raw bytes, and nothing that comes from it is unpickled. A model from tensors to tensors is
asked one message at a time, a user's own and one that generates many at once. When the child dies, the requests that it
had are answered with what became of it, and the next ones by its successor.

What is asked of it decides which class stands for it: :class:`~mizzen.serve.isolation.tensors.Isolated`,
:class:`~mizzen.serve.isolation.custom.IsolatedCustom` or
:class:`~mizzen.serve.isolation.generative.IsolatedGenerator`; all begin as the first.
"""

from __future__ import annotations

from mizzen.serve.isolation.child import Lineage, of_program, of_spec
from mizzen.serve.isolation.tensors import Isolated
from mizzen.serve.spec import ModelSpec

__all__ = ["Isolated", "isolated", "of_this_program"]


def isolated(spec: ModelSpec) -> Isolated:
    """The model of a spec, not loaded."""
    return Isolated(spec.name, spec.version, Lineage(spec.name, of_spec(spec)))


def of_this_program(name: str, version: str | None) -> Isolated:
    """A model that the running program makes, not loaded; see :mod:`mizzen.serve.custom.again`."""
    return Isolated(name, version, Lineage(name, of_program(name, version)))
