"""vLLM as a model's backend: its own server, started beside ours and asked by it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping

import msgspec

from mizzen.serve.errors import LoadError
from mizzen.serve.model import Servable
from mizzen.serve.runtimes import upstream
from mizzen.serve.runtimes.huggingface.settings import Settings
from mizzen.serve.spec import ModelSpec


def build(spec: ModelSpec, settings: Settings, environ: Mapping[str, str]) -> Servable:
    """A model that vLLM's OpenAI server runs.

    Raises:
        LoadError: vLLM is not installed.
    """
    if importlib.util.find_spec("vllm") is None:
        raise LoadError(f"model {spec.name}: backend is vllm, and vllm is not installed: pip install vllm")
    given = {**spec.settings, "upstream_command": command(spec, settings)}
    return upstream.build(msgspec.structs.replace(spec, settings=given), environ)


def command(spec: ModelSpec, settings: Settings) -> list[str]:
    """How vLLM's server is started; ``{port}`` is put in later."""
    words = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(spec.directory), "--served-model-name", spec.name),
        *("--host", "127.0.0.1", "--port", "{port}"),
    ]
    if settings.dtype != "auto":
        words += ["--dtype", settings.dtype]
    if settings.max_model_len is not None:
        words += ["--max-model-len", str(settings.max_model_len)]
    if settings.chat_template is not None:
        words += ["--chat-template", settings.chat_template]
    return words + (["--trust-remote-code"] if settings.trust_remote_code else [])
