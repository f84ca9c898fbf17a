"""What puts the KServe participant on a real cluster: one replica, its configuration, a role that fits its requests.

The YAML files beside this one are ordinary manifests in which ``$NAMESPACE``, ``$VERSION``, ``$BROKER`` and ``$MODELS``
stand for what an installation decides. Java's chart binds the participant to ``cluster-admin``; here it may do with
InferenceServices what it does with them, and nothing else: in the whole cluster, or in the namespaces that are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import yaml

from mizzen import __version__
from mizzen.apis.meta import Mapping


def participant(namespace: str, broker: str, models: Sequence[str] = ()) -> list[Mapping]:
    """The objects of a participant, in the order in which to apply them.

    Args:
        namespace: where the participant runs.
        broker: Kafka's ``host:port``, several with commas between.
        models: the namespaces where InferenceServices may be; none means anywhere.
    """
    words = {"$NAMESPACE": namespace, "$VERSION": __version__, "$BROKER": broker, "$MODELS": ",".join(models)}
    found = _read("participant.yaml", words)
    if not models:
        return _read("cluster-role.yaml", words) + found
    roles = [role for one in models for role in _read("namespace-role.yaml", words | {"$MODEL_NAMESPACE": one})]
    return roles + found


def _read(name: str, words: dict[str, str]) -> list[Mapping]:
    text = resources.files(__package__).joinpath(name).read_text()
    for word, value in words.items():
        text = text.replace(word, value)
    documents: list[Any] = list(yaml.safe_load_all(text))
    return [document for document in documents if document]
