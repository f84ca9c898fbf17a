"""Models that read a text and say something about it: its class, its tokens' classes, its masked words, its vector.

Texts come as they are (V1 ``instances``, a V2 BYTES tensor, the OpenAI protocol's ``input``), and are tokenized here.
What goes out is KServe's (data plane reference, 4.8), but for what padding would add: an answer must not depend on the
texts that happened to be asked beside it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mizzen.serve.errors import InvalidInput
from mizzen.serve.generation.model import EMBED, RERANK, Encoder, InvalidRequest
from mizzen.serve.model import Array, Options, Tensor, TensorMetadata
from mizzen.serve.runtimes.huggingface.loading import Loaded, load
from mizzen.serve.runtimes.huggingface.settings import Settings

# Texts that go through the model together; more would only take more memory.
ROWS = 32


class HuggingFaceEncoder(Encoder):
    """Args:
    directory: holds the model and its tokenizer.
    task: one of those that are not generative.
    """

    def __init__(self, name: str, directory: Path, task: str, settings: Settings, version: str | None = None) -> None:
        super().__init__(name, version)
        self.platform = "huggingface"
        self.foreign = True
        self._directory = directory
        self._task = task
        self._settings = settings
        self._pooling = "mean"

    def load(self) -> None:
        self._loaded: Loaded = load(self._directory, self._task, self._settings)
        self._torch: Any = importlib.import_module("torch")
        self._pad()
        self._named = list(self._settings.tensor_input_names or self._loaded.tokenizer.model_input_names)
        self._labels = int(getattr(self._loaded.model.config, "num_labels", 0))
        if self._task == "text_embedding":
            self._pooling = _pooling(self._directory)
            self.methods = frozenset({EMBED, RERANK})
        elif self._task == "sequence_classification" and self._labels == 1:
            # One number for a pair of texts: what is called a cross-encoder.
            self.methods = frozenset({RERANK})
        self.inputs = [TensorMetadata("input-0", "BYTES", [-1])]
        self.outputs = [self._told()]

    def unload(self) -> None:
        del self._loaded

    def predict(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        if len(inputs) != 1:
            names = ", ".join(tensor.name for tensor in inputs)
            raise InvalidInput(f"this model takes one tensor of texts, not {len(inputs)} ({names})")
        texts = _texts(inputs[0])
        answer = {
            "text_embedding": self._vectors,
            "sequence_classification": self._classes,
            "token_classification": self._token_classes,
            "fill_mask": self._filled,
        }[self._task]
        rows: list[Any] = []
        for at in range(0, len(texts), ROWS):
            rows += answer(self._encoded(texts[at : at + ROWS], truncation=True, max_length=self._loaded.length))
        return [Tensor("output-0", _rows(rows))]

    def embed(self, texts: Sequence[str | list[int]]) -> tuple[Array, Sequence[int]]:
        vectors: list[Array] = []
        counts: list[int] = []
        for at in range(0, len(texts), ROWS):
            tokens = [self._ids(text, at + index) for index, text in enumerate(texts[at : at + ROWS])]
            counts += map(len, tokens)
            vectors += self._vectors(self._loaded.tokenizer.pad({"input_ids": tokens}, return_tensors="pt"))
        return np.stack(vectors), counts

    def rerank(self, query: str, documents: Sequence[str]) -> tuple[Array, int]:
        if self._task == "text_embedding":
            vectors, counts = self.embed([query, *documents])
            return vectors[1:] @ vectors[0], sum(counts)
        scores: list[float] = []
        count = 0
        for at in range(0, len(documents), ROWS):
            some = list(documents[at : at + ROWS])
            encoded = self._encoded([query] * len(some), some, truncation=True, max_length=self._loaded.length)
            count += int(encoded["attention_mask"].sum())
            scores += self._asked(encoded).logits[:, 0].float().sigmoid().tolist()
        return np.array(scores), count

    def _pad(self) -> None:
        """Several texts at once need a token to fill with; models without one get one, as KServe does."""
        tokenizer, model = self._loaded.tokenizer, self._loaded.model
        if tokenizer.pad_token is None:
            tokenizer.add_special_tokens({"pad_token": "[PAD]"})
            if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
                model.resize_token_embeddings(len(tokenizer))
        if model.config.pad_token_id is None:
            model.config.pad_token_id = tokenizer.pad_token_id

    def _told(self) -> TensorMetadata:
        if self._task == "text_embedding":
            return TensorMetadata("output-0", "FP32", [-1, int(self._loaded.model.config.hidden_size)])
        if self._task == "sequence_classification" and self._labels == 1:
            return TensorMetadata("output-0", "FP32", [-1])
        plain = not (self._settings.return_probabilities or self._settings.return_raw_logits)
        if self._task == "sequence_classification" and plain:
            return TensorMetadata("output-0", "INT64", [-1])
        return TensorMetadata("output-0", "BYTES", [-1])

    def _ids(self, text: str | list[int], at: int) -> list[int]:
        """The token ids of one text of the OpenAI protocol, which cuts nothing off.

        Raises:
            InvalidRequest: there are too many, or one is none of the model's.
        """
        if isinstance(text, str):
            ids = list(self._loaded.tokenizer(text, add_special_tokens=self._special)["input_ids"])
        else:
            known = self._loaded.model.get_input_embeddings().weight.shape[0]
            ids = text
            if any(token >= known for token in ids):
                raise InvalidRequest(f"input[{at}]: token id {max(ids)} is not one of the model's {known}", "input")
        if len(ids) > self._loaded.length:
            raise InvalidRequest(
                f"This model's maximum context length is {self._loaded.length} tokens; input[{at}] has {len(ids)}.",
                "input",
                "context_length_exceeded",
            )
        if not ids:
            raise InvalidRequest(f"input[{at}] is empty", "input", "invalid_value")
        return ids

    @property
    def _special(self) -> bool:
        return not self._settings.disable_special_tokens

    def _encoded(self, *texts: list[str], **more: Any) -> Any:
        kinds = self._settings.return_token_type_ids
        if kinds is not None:
            more["return_token_type_ids"] = kinds
        return self._loaded.tokenizer(
            *texts, add_special_tokens=self._special, padding=True, return_tensors="pt", **more
        )

    def _asked(self, encoded: Any) -> Any:
        named = {name: tensor.to(self._loaded.device) for name, tensor in encoded.items() if name in self._named}
        with self._torch.inference_mode():
            return self._loaded.model(**named)

    def _vectors(self, encoded: Any) -> list[Array]:
        """Pooled and of length 1."""
        hidden = self._asked(encoded).last_hidden_state.float()
        mask = encoded["attention_mask"].to(hidden.device).unsqueeze(-1).float()
        if self._pooling == "cls":
            pooled = hidden[:, 0]
        elif self._pooling == "last":
            # Padding may stand on either side.
            places = self._torch.arange(hidden.shape[1], device=hidden.device)
            last = (mask.squeeze(-1) * places).argmax(-1)
            pooled = hidden[self._torch.arange(len(hidden), device=hidden.device), last]
        else:
            pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return list(self._torch.nn.functional.normalize(pooled, p=2, dim=1).cpu().numpy())

    def _classes(self, encoded: Any) -> list[Any]:
        logits = self._asked(encoded).logits.float().cpu()
        if self._labels == 1:
            return list(logits[:, 0].tolist())
        return [self._scored(row) for row in logits]

    def _token_classes(self, encoded: Any) -> list[Any]:
        logits = self._asked(encoded).logits.float().cpu()
        rows = []
        for row, mask in zip(logits, encoded["attention_mask"].bool(), strict=True):
            scored = [self._scored(token) for token in row[mask]]
            plain = not scored or not isinstance(scored[0], dict)
            rows.append([scored] if plain else scored)
        return rows

    def _filled(self, encoded: Any) -> list[Any]:
        tokenizer = self._loaded.tokenizer
        logits = self._asked(encoded).logits.float().cpu()
        rows: list[Any] = []
        for row, ids in zip(logits, encoded["input_ids"], strict=True):
            masked = row[ids == tokenizer.mask_token_id]
            if not len(masked):
                raise InvalidInput(f"a text has no {tokenizer.mask_token} to be filled")
            if self._settings.return_raw_logits or self._settings.return_probabilities:
                rows.append([[{at: value} for at, value in self._scored(one).items()] for one in masked])
            else:
                rows.append(tokenizer.decode(masked.argmax(-1)))
        return rows

    def _scored(self, logits: Any) -> Any:
        """The likeliest class, or all classes with their probabilities or logits."""
        if self._settings.return_raw_logits:
            return dict(enumerate(logits.tolist()))
        if self._settings.return_probabilities:
            return {at: round(value, 4) for at, value in enumerate(logits.softmax(-1).tolist())}
        return int(logits.argmax())


def _texts(tensor: Tensor) -> list[str]:
    """The texts of an input, one a row.

    Raises:
        InvalidInput: they are none.
    """
    array = tensor.array
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "OUS":
        raise InvalidInput(
            f"input '{tensor.name}' must be a list of texts, not of shape {list(array.shape)} and type {array.dtype}"
        )
    texts = []
    for at, value in enumerate(array.tolist()):
        if isinstance(value, bytes):
            try:
                value = value.decode()
            except UnicodeDecodeError:
                raise InvalidInput(f"input '{tensor.name}': row {at} is not UTF-8") from None
        if not isinstance(value, str):
            raise InvalidInput(f"input '{tensor.name}': row {at} is no text: {value!r}")
        texts.append(value)
    return texts


def _rows(rows: list[Any]) -> Array:
    """One element for each text; numbers and vectors as such, all else as objects."""
    if isinstance(rows[0], np.ndarray):
        return np.stack(rows)
    if isinstance(rows[0], int):
        return np.array(rows, np.int64)
    if isinstance(rows[0], float):
        return np.array(rows, np.float32)
    array = np.empty(len(rows), object)
    for at, row in enumerate(rows):
        array[at] = row
    return array


def _pooling(directory: Path) -> str:
    """How a sentence-transformers folder makes one vector of many; ``mean`` where nothing is said."""
    try:
        config = json.loads((directory / "1_Pooling" / "config.json").read_bytes())
    except (OSError, ValueError):
        return "mean"
    if config.get("pooling_mode_cls_token"):
        return "cls"
    return "last" if config.get("pooling_mode_lasttoken") else "mean"
