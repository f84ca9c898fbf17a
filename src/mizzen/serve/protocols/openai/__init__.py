"""OpenAI's protocol over generative and encoding models, as its unmodified clients speak it."""

from mizzen.serve.protocols.openai.api import OpenAI

__all__ = ["OpenAI"]
