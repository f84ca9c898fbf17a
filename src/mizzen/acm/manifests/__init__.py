"""What puts the KServe participant on a real cluster: one replica, its configuration, a role that fits its requests.

The YAML files beside this one are ordinary manifests in which ``$NAMESPACE`` and ``$VERSION`` stand for what an
installation decides; the configuration is that of a participant that is told nothing else, with its own broker. Java's
chart binds the participant to ``cluster-admin``; here it may do with InferenceServices what it does with them, and
nothing else: in the whole cluster, or in the namespaces that are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import yaml

from mizzen import __version__
from mizzen.apis.meta import Mapping

# What the shipped configuration says where an installation decides otherwise.
_BROKER = "localhost:9092"
_ANYWHERE = 'namespaces: ""'


def participant(namespace: str, broker: str, models: Sequence[str] = ()) -> list[Mapping]:
    """The objects of a participant, in the order in which to apply them.

    Args:
        namespace: where the participant runs.
        broker: Kafka's ``host:port``, several with commas between.
        models: the namespaces where InferenceServices may be; none means anywhere.
    """
    words = {"$NAMESPACE": namespace, "$VERSION": __version__}
    found = _read("participant.yaml", words)
    for one in found:
        if one["kind"] == "ConfigMap":
            one["data"] = {"application.yaml": _configuration(broker, models)}
    if not models:
        return _read("cluster-role.yaml", words) + found
    roles = [role for one in models for role in _read("namespace-role.yaml", words | {"$MODEL_NAMESPACE": one})]
    return roles + found


def _configuration(broker: str, models: Sequence[str]) -> str:
    text = (resources.files("mizzen.acm.participant.kserve") / "application.yaml").read_text()
    for default, decided in ((_BROKER, broker), (_ANYWHERE, f'namespaces: "{",".join(models)}"')):
        if default not in text:
            raise LookupError(f"the shipped configuration does not say {default!r}")
        text = text.replace(default, decided)
    return text


def _read(name: str, words: dict[str, str]) -> list[Mapping]:
    text = resources.files(__package__).joinpath(name).read_text()
    for word, value in words.items():
        text = text.replace(word, value)
    documents: list[Any] = list(yaml.safe_load_all(text))
    return [document for document in documents if document]
