"""Hugging Face transformers: a folder with ``config.json``, its weights and its tokenizer.

The task says what becomes of it: text goes in and text comes out (:mod:`.generator`), or labels, tokens or vectors do
(:mod:`.encoder`). Nothing of torch or transformers is imported before a model is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from mizzen.serve.errors import LoadError
from mizzen.serve.model import Servable
from mizzen.serve.runtimes.huggingface.settings import Settings
from mizzen.serve.runtimes.huggingface.task import GENERATIVE, task_of
from mizzen.serve.spec import ModelSpec

# What a zygote imports once for all servers of this kind. Architectures are imported by those that have them.
PRELOAD = (
    "mizzen.serve.main",
    "mizzen.serve.runtimes.huggingface.encoder",
    "mizzen.serve.runtimes.huggingface.generator",
    "mizzen.serve.runtimes.huggingface.sampler",
    "torch",
    "transformers",
    "transformers.generation.utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
)


def build(spec: ModelSpec, environ: Mapping[str, str]) -> Servable:
    """The model of a spec.

    Raises:
        LoadError: the folder's configuration cannot be read, or a setting cannot be used.
    """
    settings = Settings.read(spec.settings, environ)
    if settings.upstream or settings.upstream_command:
        from mizzen.serve.runtimes import upstream

        return upstream.build(spec, environ)
    task = settings.task or task_of(spec.directory)
    if task in GENERATIVE:
        if settings.backend == "vllm" or (settings.backend == "auto" and _vllm_would_do()):
            from mizzen.serve.runtimes.huggingface import vllm

            return vllm.build(spec, settings, environ)
        from mizzen.serve.runtimes.huggingface.generator import HuggingFaceGenerator

        return HuggingFaceGenerator(spec.name, spec.directory, task, settings, spec.version)
    if settings.backend == "vllm":
        raise LoadError(f"model {spec.name}: backend vllm generates text, and its task is {task}; use huggingface")
    from mizzen.serve.runtimes.huggingface.encoder import HuggingFaceEncoder

    return HuggingFaceEncoder(spec.name, spec.directory, task, settings, spec.version)


def _vllm_would_do() -> bool:
    """Whether vLLM is installed; it is of use only where there is a GPU."""
    if importlib.util.find_spec("vllm") is None:
        return False
    torch: Any = importlib.import_module("torch")
    return bool(torch.cuda.is_available())
