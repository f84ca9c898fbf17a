"""``isolation: process``: a model in a process of its own, which it may crash, stop or leak without harm to others.

The child is started anew and not forked, because nothing forks from a process that has run a model. It is asked over a
socket; tensors travel as raw bytes, and nothing that comes from it is unpickled. A model from tensors to tensors is
asked one message at a time, a user's own many at once. When the child dies, the requests that it had are answered with
what became of it, and the next ones by its successor.
"""

from __future__ import annotations

from mizzen.serve.isolation.tensors import Isolated

__all__ = ["Isolated"]
