"""What a model is for, as the name of its class in ``config.json`` tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mizzen.serve.errors import LoadError

GENERATIVE = ("text_generation", "text2text_generation")
TASKS = (*GENERATIVE, "fill_mask", "sequence_classification", "token_classification", "text_embedding")

# By how the class's name ends; the first that fits. A bare model has no head, so its hidden states are what it gives.
_ENDINGS = (
    ("ForTokenClassification", "token_classification"),
    ("ForSequenceClassification", "sequence_classification"),
    ("ForMaskedLM", "fill_mask"),
    ("ForCausalLM", "text_generation"),
    ("LMHeadModel", "text_generation"),
    ("ForConditionalGeneration", "text2text_generation"),
    ("MTModel", "text2text_generation"),
    ("EncoderDecoderModel", "text2text_generation"),
    ("Model", "text_embedding"),
)


def config_of(directory: Path) -> dict[str, Any]:
    """A folder's ``config.json``.

    Raises:
        LoadError: it is not there, or no JSON object.
    """
    path = directory / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise LoadError(f"{directory} has no config.json: a Hugging Face model folder is wanted") from None
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise LoadError(f"{path} is no JSON: {error}") from None
    if not isinstance(config, dict):
        raise LoadError(f"{path} holds no JSON object")
    return config


def task_of(directory: Path) -> str:
    """The task that a folder's model was made for.

    Raises:
        LoadError: its configuration does not tell.
    """
    names = config_of(directory).get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    if not isinstance(name, str):
        raise LoadError(
            f"{directory / 'config.json'} names no architecture, so the task must be told: {', '.join(TASKS)}"
        )
    for ending, task in _ENDINGS:
        if name.endswith(ending):
            return task
    raise LoadError(f"what {name} is for is not known here; set the task to one of {', '.join(TASKS)}")
