"""The arguments of KServe's huggingfaceserver (data plane reference, 4.8), read from a model's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mizzen.serve.arguments import FALSE, TRUE
from mizzen.serve.errors import LoadError
from mizzen.serve.runtimes.huggingface.task import TASKS

DTYPES = ("auto", "float16", "float32", "bfloat16", "float", "half")
BACKENDS = ("auto", "huggingface", "vllm")

LONG = "ALLOW_LONG_MAX_MODEL_LEN"


class Settings(Struct, frozen=True, kw_only=True):
    """Attributes:
    task: None is found out from the configuration.
    max_model_len: tokens, prompt and answer together; None is what the model was made for.
    allow_longer: whether ``max_model_len`` may be more than that.
    disable_lower_case: keep the case of texts, whatever the tokenizer says.
    disable_special_tokens: do not put the model's own tokens around texts.
    tensor_input_names: the tokenizer's tensors that the model gets; None is all that it takes.
    chat_template: a template, or a file that holds one; None is the tokenizer's.
    upstream, upstream_command: see :mod:`mizzen.serve.runtimes.upstream`.
    """

    task: str | None = None
    backend: str = "auto"
    dtype: str = "auto"
    max_model_len: int | None = None
    allow_longer: bool = False
    model_revision: str | None = None
    tokenizer_revision: str | None = None
    trust_remote_code: bool = False
    disable_lower_case: bool = False
    disable_special_tokens: bool = False
    return_probabilities: bool = False
    return_raw_logits: bool = False
    return_token_type_ids: bool | None = None
    tensor_input_names: tuple[str, ...] | None = None
    chat_template: str | None = None
    upstream: str | None = None
    upstream_command: Any = None

    @classmethod
    def read(cls, given: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
        """Raises:
        LoadError: a value cannot be used; the sentence names it.
        """
        values: dict[str, Any] = {}
        for name, value in given.items():
            name = name.removeprefix("--").replace("-", "_")
            name = "max_model_len" if name == "max_length" else name
            if name in cls.__struct_fields__ and value is not None:
                values[name] = _read(name, value)
        settings = cls(**values, allow_longer=environ.get(LONG, "").lower() in TRUE)
        if settings.return_probabilities and settings.return_raw_logits:
            raise LoadError("return_probabilities and return_raw_logits are given, and only one of them can be")
        return settings


_FLAGS = {
    "trust_remote_code",
    "disable_lower_case",
    "disable_special_tokens",
    "return_probabilities",
    "return_raw_logits",
    "return_token_type_ids",
}
_CHOICES: dict[str, tuple[str, ...]] = {"task": TASKS, "backend": BACKENDS, "dtype": DTYPES}


def _read(name: str, value: Any) -> Any:
    if name in _FLAGS:
        word = str(value).lower()
        if word not in TRUE | FALSE:
            raise LoadError(f"{name}={value!r} is neither true nor false")
        return word in TRUE
    if name in _CHOICES:
        word = str(value).lower()
        if word not in _CHOICES[name]:
            raise LoadError(f"{name}={value!r} is not supported; there are {', '.join(_CHOICES[name])}")
        return word
    if name == "max_model_len":
        if not str(value).isdecimal() or not int(value):
            raise LoadError(f"{name}={value!r} is not a number of tokens")
        return int(value)
    if name == "tensor_input_names":
        names = value.split(",") if isinstance(value, str) else value
        return tuple(str(one).strip() for one in names)
    return value
