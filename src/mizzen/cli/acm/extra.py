"""Whether what the extra ``acm`` brings is there: without it Mizzen is installed as well, and serves models."""

from __future__ import annotations

import importlib.util

from mizzen.errors import MizzenError

PARTICIPANT = {"confluent_kafka": "confluent-kafka", "starlette": "starlette", "uvicorn": "uvicorn"}
RUNTIME = PARTICIPANT | {
    "alembic": "alembic",
    "jinja2": "jinja2",
    "python_multipart": "python-multipart",
    "sqlalchemy": "sqlalchemy",
}


class NotInstalled(MizzenError):
    """A package is missing."""


def require(packages: dict[str, str]) -> None:
    """
    Args:
        packages: by the modules to be found.

    Raises:
        NotInstalled: with the command that installs them.
    """
    missing = [package for module, package in packages.items() if importlib.util.find_spec(module) is None]
    if missing:
        noun = "package" if len(missing) == 1 else "packages"
        raise NotInstalled(f"this needs the {noun} {', '.join(missing)}: pip install 'mizzen[acm]'")
