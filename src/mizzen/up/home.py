"""The home of an installation: where everything it keeps is, by name."""

from __future__ import annotations

import os
from pathlib import Path

from mizzen.up.errors import UpError

VARIABLE = "MIZZEN_HOME"
_LONGEST_SOCKET = 107  # bytes of a Unix socket's path, without the NUL at its end


class Home:
    """Paths below one folder. Several homes live side by side, each an installation of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def from_environment(cls) -> Home:
        """``$MIZZEN_HOME``, or ``~/.mizzen``."""
        given = os.environ.get(VARIABLE)
        return cls(Path(given).expanduser().absolute() if given else Path.home() / ".mizzen")

    def check_length(self) -> None:
        """Whether the sockets in the home can have their addresses.

        Raises:
            UpError: the home's path is too long.
        """
        length = len(os.fsencode(self.root))
        longest = _LONGEST_SOCKET - (len(os.fsencode(self.node_socket)) - length)
        if length > longest:
            raise UpError(
                f"the path of the home {self.root} is {length} bytes long, and at most {longest} are possible (the "
                f"paths of sockets in it must fit into {_LONGEST_SOCKET} bytes); choose a shorter one with {VARIABLE}"
            )

    def make(self) -> None:
        """Create the folders, for this user's eyes only.

        Raises:
            UpError: the folder cannot be made or belongs to somebody else.
        """
        try:
            for folder in (self.root, self.store, self.credentials, self.run, self.logs, self.pods):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UpError(
                f"the home {self.root} cannot be made: {error.strerror} ({error.filename}); "
                f"choose another with {VARIABLE}"
            ) from error
        if self.root.stat().st_uid != os.geteuid():
            raise UpError(f"the home {self.root} belongs to another user; choose another with {VARIABLE}")

    @property
    def store(self) -> Path:
        """The API server's database."""
        return self.root / "store"

    @property
    def credentials(self) -> Path:
        """The installation's own CA, certificates and token."""
        return self.root / "credentials"

    @property
    def run(self) -> Path:
        """Sockets and locks of what runs now."""
        return self.root / "run"

    @property
    def parents(self) -> Path:
        """The pod parents' sockets, and beside each the folder of its own files."""
        return self.run / "parents"

    @property
    def logs(self) -> Path:
        """One log a role."""
        return self.root / "logs"

    @property
    def pods(self) -> Path:
        """Volumes, logs and exit status of containers."""
        return self.root / "pods"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def lock(self) -> Path:
        """Held by the supervisor while it lives."""
        return self.run / "up.lock"

    @property
    def state(self) -> Path:
        """What the supervisor last said of itself, as JSON."""
        return self.run / "state.json"

    @property
    def node_socket(self) -> Path:
        """Where the node agent serves logs to the API server."""
        return self.run / "node.sock"

    @property
    def recipes(self) -> Path:
        """The user's own recipes, which say how an image is run."""
        return self.root / "recipes.yaml"
