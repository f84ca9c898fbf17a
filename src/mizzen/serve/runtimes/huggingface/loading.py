"""From a folder to a model and its tokenizer: on which device, in which type, how long a text may be."""

from __future__ import annotations

import importlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mizzen.serve.errors import LoadError
from mizzen.serve.lanes.threads import CPU, share
from mizzen.serve.runtimes.huggingface.settings import LONG, Settings
from mizzen.serve.runtimes.huggingface.task import config_of

logger = logging.getLogger(__name__)

_CLASSES = {
    "text_generation": "AutoModelForCausalLM",
    "text2text_generation": "AutoModelForSeq2SeqLM",
    "fill_mask": "AutoModelForMaskedLM",
    "sequence_classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
    "text_embedding": "AutoModel",
}

# What configurations call the number of positions, in the order in which they are believed.
_LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_sequence_length",
    "max_seq_length",
)
_DEFAULT_LENGTH = 2048

# Weights that a task may do without: nothing that is answered goes through them.
_SPARE = ("pooler", "position_ids")


@dataclass(slots=True)
class Loaded:
    """Attributes:
    model: on its device, ready to answer.
    length: the most tokens of one text; for a decoder, of prompt and answer together.
    """

    model: Any
    tokenizer: Any
    device: Any
    length: int


def load(directory: Path, task: str, settings: Settings) -> Loaded:
    """Load what a folder holds. Reads nothing from anywhere else.

    Raises:
        LoadError: says what is missing or wrong.
    """
    try:
        torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise LoadError(
            f"{directory} is a Hugging Face model, and {error.name or 'transformers'} is not installed: "
            "pip install 'mizzen[huggingface]'"
        ) from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if CPU in os.environ:
        torch.set_num_threads(share(os.environ))
    config_of(directory)  # whose errors say more than the library's
    shared = {"trust_remote_code": settings.trust_remote_code, "local_files_only": True}
    tokenizer = _tokenizer(transformers, directory, settings, shared)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        made, told = getattr(transformers, _CLASSES[task]).from_pretrained(
            directory, dtype=_dtype(torch, settings.dtype, device), output_loading_info=True, **shared
        )
        model = made.to(device).eval()
    except Exception as error:
        raise LoadError(f"{directory} cannot be loaded for {task}: {_sentence(error)}") from error
    missing = sorted(key for key in told.get("missing_keys", ()) if not any(part in key for part in _SPARE))
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise LoadError(
            f"{directory} has no weights for {', '.join(missing[:3])}{more}: "
            f"it was not made for {task}, or a file is missing"
        )
    length = _length(model.config, tokenizer, settings)
    logger.info("%s for %s: %s, %s, %d tokens", type(model).__name__, task, device, model.dtype, length)
    return Loaded(model, tokenizer, device, length)


def _tokenizer(transformers: Any, directory: Path, settings: Settings, shared: dict[str, Any]) -> Any:
    more = {"do_lower_case": False} if settings.disable_lower_case else {}
    try:
        return transformers.AutoTokenizer.from_pretrained(directory, **shared, **more)
    except Exception as error:
        raise LoadError(f"the tokenizer in {directory} cannot be loaded: {_sentence(error)}") from error


def _dtype(torch: Any, name: str, device: Any) -> Any:
    named = {"float": "float32", "half": "float16"}.get(name, name)
    return "auto" if named == "auto" else getattr(torch, named)


def _length(config: Any, tokenizer: Any, settings: Settings) -> int:
    inner = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config
    known = [value for name in _LENGTHS if isinstance(value := getattr(inner, name, None), int) and value > 0]
    made_for = known[0] if known else None
    # RoBERTa's positions begin after the padding token's, and only the tokenizer knows; one that does not says 1e30.
    told = getattr(tokenizer, "model_max_length", None)
    if isinstance(told, int) and 0 < told < 10**9:
        made_for = min(made_for, told) if made_for else told
    wanted = settings.max_model_len
    if wanted is None:
        return made_for or _DEFAULT_LENGTH
    if made_for is not None and wanted > made_for and not settings.allow_longer:
        raise LoadError(
            f"max_model_len={wanted} is more than the {made_for} tokens that the model was made for; "
            f"{LONG}=1 allows it, and answers may then be nonsense"
        )
    return wanted


def _sentence(error: Exception) -> str:
    """The first line of a library's error, which is often a page."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
