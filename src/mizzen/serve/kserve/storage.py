"""KServe's way to a model's files: ``Storage.download(uri)``."""

from __future__ import annotations

import os

from mizzen.storage.download import download


class Storage:
    """Brings what a URI names to where it can be read."""

    @staticmethod
    def download(uri: str | os.PathLike[str], out_dir: str | os.PathLike[str] | None = None) -> str:
        """Make the model at ``uri`` available, and return its folder; see :func:`mizzen.storage.download.download`.

        Raises:
            StorageError: in one line, with the URI and the reason.
        """
        return str(download(uri, out_dir))


__all__ = ["Storage"]
