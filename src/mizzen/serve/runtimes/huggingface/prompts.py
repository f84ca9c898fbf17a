"""From a prompt to token ids: plain text, ids as they are, or a conversation by the model's own template."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from mizzen.serve.errors import LoadError
from mizzen.serve.generation.model import Chat, InvalidRequest, Prompt


class Prompts:
    """Args:
    tokenizer: of transformers.
    vocabulary: how many tokens the model knows.
    special: whether the model's own tokens go around a text.
    template: a chat template, or a file that holds one; None is the tokenizer's.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, special: bool, template: str | None) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._special = special
        self._template = _template(template) if template else None
        # A fast tokenizer may not be used and told its settings at once; it is told them with the first text.
        self._lock = threading.Lock()
        self._ids("a")

    def tokens(self, prompt: Prompt) -> list[int]:
        """The prompt's token ids; at least one.

        Raises:
            InvalidRequest: it cannot be made into tokens.
        """
        if isinstance(prompt, Chat):
            return self._ids(self._text(prompt), special=False)
        if isinstance(prompt, str):
            found = self._ids(prompt)
            if not found:
                start = self._tokenizer.bos_token_id
                start = self._tokenizer.eos_token_id if start is None else start
                if start is None:
                    raise InvalidRequest("the prompt is empty, and this model has no token to begin with", "prompt")
                found = [start]
            return found
        for token in prompt:
            if token >= self._vocabulary:
                raise InvalidRequest(f"token id {token} is not one of the model's {self._vocabulary}", "prompt")
        return prompt

    def _ids(self, text: str, special: bool | None = None) -> list[int]:
        with self._lock:
            ids = self._tokenizer(text, add_special_tokens=self._special if special is None else special)["input_ids"]
        return list(ids)

    def _text(self, chat: Chat) -> str:
        template = self._template or self._tokenizer.chat_template
        if not template:
            raise InvalidRequest(
                "the model has no chat template; ask it at /completions, or give it one (chat_template)", "messages"
            )
        # Templates from before that role know its older name.
        old = "developer" not in str(template)
        messages = []
        for message in chat.messages:
            role = "system" if old and message.role == "developer" else message.role
            messages.append(
                {"role": role, "content": message.content} | ({"name": message.name} if message.name else {})
            )
        try:
            text = self._tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=chat.opened,
                chat_template=self._template,
                **chat.options,
            )
        except Exception as error:
            # It is a program of the model's author, which refuses what it was not made for by raising.
            raise InvalidRequest(f"the model's chat template refuses these messages: {error}", "messages") from error
        if not text:
            raise InvalidRequest("the model's chat template makes nothing of these messages", "messages")
        return str(text)


def _template(given: str) -> str:
    if "{" in given:
        return given
    try:
        return Path(given).read_text()
    except OSError as error:
        raise LoadError(f"the chat template {given} cannot be read: {error.strerror}") from None
