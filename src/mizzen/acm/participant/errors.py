"""What keeps a participant from starting."""

from __future__ import annotations

from collections.abc import Sequence

from mizzen.errors import MizzenError


class Misconfigured(MizzenError):
    """The configuration cannot be used.

    Args:
        problems: one sentence each, beginning with the key's path.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
