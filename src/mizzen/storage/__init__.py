"""Models, from wherever they are to a folder.

:func:`download` is the whole of it; :mod:`mizzen.storage.initializer` is the same as a pod's init container. Both are
synchronous: whoever waits for a model has nothing else to do.
"""

from mizzen.storage.download import download, fetch
from mizzen.storage.errors import StorageError
from mizzen.storage.progress import Progress, Transfer
from mizzen.storage.provider import Fetched

__all__ = ["Fetched", "Progress", "StorageError", "Transfer", "download", "fetch"]
