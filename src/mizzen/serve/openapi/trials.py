"""The requests that the page offers for a model, one for each way that it can be asked.

They are whole and are answered as they stand, with values that are made up. Paths are relative, so that a gateway may
add a prefix.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from mizzen.serve import example
from mizzen.serve.generation.model import EMBED, RERANK, Encoder, GenerativeModel
from mizzen.serve.generation.relay import Relay
from mizzen.serve.model import Servable

# Ways of OpenAI's protocol: how the path ends, and what is said there beside the model's name.
_CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 32, "stream": True}
_COMPLETION: dict[str, Any] = {"prompt": "Once upon a time", "max_tokens": 32, "stream": True}
_EMBEDDING: dict[str, Any] = {"input": ["Hello!", "Good morning!"]}
_RERANKING: dict[str, Any] = {"query": "What is a mizzen?", "documents": ["A mast.", "A fish."]}
_OPENAI: dict[str, tuple[str, dict[str, Any]]] = {
    "Chat": ("/chat/completions", _CHAT),
    "Completion": ("/completions", _COMPLETION),
    "Embedding": ("/embeddings", _EMBEDDING),
    "Rerank": ("/rerank", _RERANKING),
}


class Trial(Struct):
    """Attributes:
    label: what the way is called.
    body: JSON, written as a person would.
    """

    label: str
    path: str
    body: str


def trials(model: Servable, paths: Iterable[str]) -> list[Trial]:
    """Args:
    paths: all that the server has; of several for one thing the first is meant.
    """
    served = list(paths)
    found = []
    for label in _labels(model):
        end, said = _OPENAI[label]
        path = next((path for path in served if path.endswith(f"/v1{end}")), None)
        if path is not None:
            found.append(Trial(label, path.lstrip("/"), _text({"model": model.name, **said})))
    if isinstance(model, GenerativeModel | Relay) and found:
        return found
    if isinstance(model, Encoder) and type(model).predict is Encoder.predict and found:
        return found  # it has no answer to V1 and V2
    return found + _tensors(model)


def _labels(model: Servable) -> list[str]:
    if isinstance(model, GenerativeModel):
        return ["Chat", "Completion"]
    if isinstance(model, Relay):  # what is behind it is not known here
        return ["Chat", "Completion", "Embedding"]
    if isinstance(model, Encoder):
        return [label for label, method in (("Embedding", EMBED), ("Rerank", RERANK)) if method in model.methods]
    return []


def _tensors(model: Servable) -> list[Trial]:
    name = quote(model.name, safe="")
    inputs = [msgspec.convert(msgspec.to_builtins(one), example.Input) for one in model.inputs]
    v1, v2 = example.body(inputs, "v1"), example.body(inputs, "v2")
    tensor = {"name": "input-0", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}
    version = f"/versions/{quote(model.version, safe='')}" if model.version else ""
    return [
        Trial("V1", f"v1/models/{name}:predict", _text(v1 or {"instances": [[1.0]]})),
        Trial("V2", f"v2/models/{name}{version}/infer", _text(v2 or {"inputs": [tensor]})),
    ]


def _text(value: Any) -> str:
    """A request as a person would write it: a line for each row or tensor."""
    lines = []
    for key, items in value.items():
        if isinstance(items, list):
            rows = ",\n    ".join(json.dumps(item, ensure_ascii=False) for item in items)
            lines.append(f"  {json.dumps(key)}: [\n    {rows}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(items, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}"
