"""What every server does at its start, done once in the zygote: importing this module does it.

A server that is forked copies each page of the zygote that it writes to, and most of what it writes at its start is the
same for all: an argument parser, routes, a logging form, an event loop's library. Built here, it is shared. Nothing is
loaded, run, threaded or opened, and no event loop is made.
"""

from __future__ import annotations

import contextlib
import sys

from mizzen.serve.arguments import parse
from mizzen.serve.repository import Repository
from mizzen.serve.server import ModelServer

_TYPICAL = "--model_name=model --model_dir=/mnt/models --http_port=8080"


def _rehearse() -> None:
    parse(_TYPICAL.split(), {})
    ModelServer(Repository())
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: F401
    if "sklearn" in sys.modules:
        from mizzen.serve.runtimes import sklearn_shortcuts

        sklearn_shortcuts.install()


_rehearse()
