"""Addresses of pods and services: a block of the loopback network that belongs to one installation.

On Linux all of 127/8 is this machine, without any configuration and without privileges. An installation claims
``127.N.0.0/16`` by locking a file in a folder that all users share. The lock lies on an open descriptor, so handing
that to the launcher keeps the block claimed for as long as pods live. Pods get the lower half, services the upper.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import socket
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from mizzen.cluster.node.runtime.errors import AddressesUnavailable
from mizzen.cluster.node.runtime.ports import holder

# 127.0 is everybody's localhost, and some programs write 127.0.0.1 as 127.1.
FIRST, LAST = 2, 254
# The beginning of a block is the node's own: 127.N.0.1 is its address.
FIRST_POD = 16
LAST_POD = 128 * 256 - 2
# After so many addresses on which one port is taken, it is taken on all of them.
_TRIES = 8

_LONGEST_RECORD = 64 * 1024


class AddressBlock:
    """A claimed ``127.N.0.0/16``.

    Attributes:
        number: the N.
        fd: the descriptor that holds the lock, to be given to ``PodParent.ensure(hold_fd=...)``; None when the block is
            this home's already and a launcher that lived on holds the lock.
    """

    def __init__(self, number: int, fd: int | None) -> None:
        self.number = number
        self.fd = fd

    @classmethod
    def claim(cls, home: Path, *, folder: Path | None = None) -> AddressBlock:
        """Claim a block for the installation at ``home``: the one it has, or had last, or else the first free one.

        Where the search begins depends on the home, so the same home tends to get the same addresses.

        Args:
            folder: where the lock files are; by default one under the system's temporary folder, shared by all users.

        Raises:
            AddressesUnavailable: this system has no such addresses, or all blocks are taken.
            FileNotFoundError: ``home`` does not exist.
        """
        _check_loopback()
        folder = folder or Path(tempfile.gettempdir()) / "mizzen-addresses"
        _make_shared(folder)
        found = home.stat()
        # The folder itself, too: in containers that share /tmp, different homes may have the same path.
        owner = {"home": str(home.absolute()), "inode": f"{found.st_dev}:{found.st_ino}"}
        for number in _order(owner["home"], folder):
            path = folder / f"127.{number}.lock"
            fd = _try_lock(path, owner)
            if fd is not None:
                return cls(number, fd)
            if owner.items() <= _holder(path).items():
                # Locked, and by us: our launcher has outlived the process that gave it the lock.
                return cls(number, None)
        raise AddressesUnavailable(
            f"all {LAST - FIRST + 1} blocks of loopback addresses are claimed by others; {folder} says by whom"
        )

    @property
    def node(self) -> str:
        """The node's own address."""
        return f"127.{self.number}.0.1"

    @property
    def pods(self) -> str:
        return f"127.{self.number}.0.0/17"

    @property
    def services(self) -> str:
        """The network from which ClusterIPs are given out."""
        return f"127.{self.number}.128.0/17"

    def release(self) -> None:
        """Give up this process's hold; the block is free when no launcher holds it either."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


class PodAddresses:
    """Gives out the addresses of pods, each tested by binding it, and the one that was free the longest first."""

    def __init__(self, block: AddressBlock) -> None:
        self._number = block.number
        self._taken: set[str] = set()
        self._next = FIRST_POD

    def allocate(self, ports: Iterable[int] = ()) -> str:
        """An address that nobody has, on which every one of the TCP ports is free.

        Raises:
            AddressesUnavailable: all are given out, or a port is taken on all of them.
        """
        ports = tuple(ports)
        refused = 0
        for _ in range(FIRST_POD, LAST_POD + 1):
            address = f"127.{self._number}.{self._next >> 8}.{self._next & 255}"
            self._next = self._next + 1 if self._next < LAST_POD else FIRST_POD
            if address in self._taken:
                continue
            port = first_taken(address, ports)
            if port is None:
                self._taken.add(address)
                return address
            refused += 1
            if refused == _TRIES:
                by = holder(port, address)
                raise AddressesUnavailable(
                    f"port {port} is taken on every loopback address" + (f" by {by}" if by else "")
                )
        raise AddressesUnavailable(f"all pod addresses of 127.{self._number}.0.0/17 are in use")

    def adopt(self, address: str) -> None:
        """Take note of an address that a pod has already."""
        self._taken.add(address)

    def release(self, address: str) -> None:
        self._taken.discard(address)


def first_taken(address: str, ports: Iterable[int]) -> int | None:
    """The first of the TCP ports that cannot be bound at an address; None if all can. Without ports, any one is tried.

    Raises:
        AddressesUnavailable: the address itself cannot be bound, or not this port by this user.
    """
    for port in ports or (0,):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As servers do: what is left of a closed connection is no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
                probe.listen(1)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return port
                raise AddressesUnavailable(f"{address}:{port} cannot be bound: {error.strerror}") from error
    return None


def _check_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((f"127.{FIRST}.0.1", 0))
        except OSError as error:
            raise AddressesUnavailable(
                "this system answers only at 127.0.0.1 and not in the rest of 127.0.0.0/8, so pods cannot have "
                f"addresses of their own ({error.strerror}); mizzen up needs Linux or WSL2"
            ) from error


def _make_shared(folder: Path) -> None:
    """A folder in which every user may make files and nobody removes another's, as /tmp itself is."""
    try:
        folder.mkdir()
        # Not in mkdir: the umask would take the rights of others away.
        folder.chmod(0o1777)
    except FileExistsError:
        pass
    except OSError as error:
        raise AddressesUnavailable(
            f"the folder for address locks, {folder}, cannot be made: {error.strerror}"
        ) from error
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise AddressesUnavailable(f"{folder} should be a folder that every user may write to (mode 1777)")


def _order(home: str, folder: Path) -> list[int]:
    """All block numbers: first those whose file names this home, then from a place that depends on the home."""
    count = LAST - FIRST + 1
    start = int.from_bytes(hashlib.sha256(home.encode()).digest()[:4], "big") % count
    numbers = [FIRST + (start + step) % count for step in range(count)]
    mine = {number for number in numbers if _holder(folder / f"127.{number}.lock").get("home") == home}
    return sorted(numbers, key=lambda number: number not in mine)


def _try_lock(path: Path, owner: dict[str, str]) -> int | None:
    """Lock a block's file and write down for whom; None if another process has it, or the file is not to be trusted."""
    fd = _open(path)
    if fd is None:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(owner | {"pid": os.getpid(), "uid": os.geteuid()}).encode(), 0)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open(path: Path) -> int | None:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o666)
        # For everybody, whatever the umask: nobody can remove another's file here, and a block that was used once would
        # be lost to all others for good.
        os.fchmod(fd, 0o666)
        return fd
    except FileExistsError:
        pass
    try:
        # Not with O_CREAT: in a shared folder the kernel refuses that for another user's file, even to root.
        fd = os.open(path, os.O_RDWR | flags)
    except OSError as error:
        # Closed to us, or no file at all: there are other blocks.
        if error.errno in (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOENT, errno.EISDIR):
            return None
        raise
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


def _holder(path: Path) -> dict[str, object]:
    """What a lock file says about who has, or last had, the block."""
    try:
        # Everybody can put things into this folder: a pipe must not make us wait, nor a link lead us elsewhere.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        found = json.loads(os.read(fd, _LONGEST_RECORD)) if stat.S_ISREG(os.fstat(fd).st_mode) else {}
    except ValueError:
        return {}
    finally:
        os.close(fd)
    return found if isinstance(found, dict) else {}
