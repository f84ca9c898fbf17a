from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cluster.node.runtime.pod_bench import in_child, second_user
from mizzen.cluster.node.runtime import network, ports
from mizzen.cluster.node.runtime.errors import AddressesUnavailable
from mizzen.cluster.node.runtime.network import AddressBlock, PodAddresses


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "addresses"


def home(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir(exist_ok=True)
    return tmp_path / name


def test_two_homes_get_two_blocks_and_each_its_own_again(tmp_path: Path, folder: Path) -> None:
    one = AddressBlock.claim(home(tmp_path, "one"), folder=folder)
    two = AddressBlock.claim(home(tmp_path, "two"), folder=folder)
    assert one.number != two.number
    assert one.node == f"127.{one.number}.0.1"
    assert one.pods == f"127.{one.number}.0.0/17" and one.services == f"127.{one.number}.128.0/17"
    record = json.loads((folder / f"127.{one.number}.lock").read_text())
    assert (record["home"], record["pid"]) == (str(tmp_path / "one"), os.getpid())
    numbers = (one.number, two.number)
    one.release()
    two.release()
    two, one = (AddressBlock.claim(home(tmp_path, name), folder=folder) for name in ("two", "one"))
    assert (one.number, two.number) == numbers
    one.release()
    two.release()


def test_a_home_comes_back_to_its_block_even_when_another_was_to_be_first(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "x").mkdir()
    block = AddressBlock.claim(tmp_path / "x", folder=folder)
    block.release()
    # As if it had got another one because its own was taken then.
    moved = 2 if block.number != 2 else 3
    (folder / f"127.{block.number}.lock").rename(folder / f"127.{moved}.lock")
    block = AddressBlock.claim(tmp_path / "x", folder=folder)
    assert block.number == moved
    block.release()


def test_a_block_stays_claimed_while_anybody_holds_its_descriptor(tmp_path: Path, folder: Path) -> None:
    block = AddressBlock.claim(home(tmp_path, "one"), folder=folder)
    assert block.fd is not None
    launcher = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[block.fd])
    block.release()
    # The same home finds its block held by its own; another home may not have it.
    again = AddressBlock.claim(home(tmp_path, "one"), folder=folder)
    assert (again.number, again.fd) == (block.number, None)
    (folder / "other").mkdir()
    taken = [AddressBlock.claim(home(tmp_path, f"h{number}"), folder=folder) for number in range(252)]
    assert block.number not in {other.number for other in taken} and len({other.number for other in taken}) == 252
    with pytest.raises(AddressesUnavailable, match="all 253 blocks"):
        AddressBlock.claim(home(tmp_path, "late"), folder=folder)
    launcher.communicate(b"\n")
    late = AddressBlock.claim(home(tmp_path, "late"), folder=folder)
    assert late.number == block.number and late.fd is not None
    for other in [*taken, late]:
        other.release()


def test_a_home_of_the_same_path_in_another_place_is_another_home(tmp_path: Path, folder: Path) -> None:
    one = AddressBlock.claim(home(tmp_path, "one"), folder=folder)
    (tmp_path / "one").rename(tmp_path / "moved away")
    other = AddressBlock.claim(home(tmp_path, "one"), folder=folder)
    assert other.number != one.number
    one.release()
    other.release()


@pytest.mark.skipif(not second_user(), reason="needs a second user")
def test_users_share_the_blocks() -> None:
    """Whatever their umasks: one user at a time has a block, and what nobody has is free to all."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o777)
        folder = place / "addresses"
        for home in ("theirs", "third", "mine"):
            (place / home).mkdir(mode=0o755)

        def claim(home: str) -> int:
            os.umask(0o077)
            return AddressBlock.claim(place / home, folder=folder).number

        number = in_child(lambda: claim("theirs"), 65534)
        assert folder.stat().st_mode & 0o7777 == 0o1777
        # Theirs has ended, and all other blocks are taken.
        held = [network._open(folder / f"127.{other}.lock") for other in range(network.FIRST, network.LAST + 1)]
        for other, fd in zip(range(network.FIRST, network.LAST + 1), held, strict=True):
            assert fd is not None
            if other != number:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert in_child(lambda: claim("third"), 65533) == number
        block = AddressBlock.claim(place / "mine", folder=folder)
        assert block.number == number
        with pytest.raises(AssertionError, match="all 253 blocks of loopback addresses are claimed by others"):
            in_child(lambda: claim("third"), 65533)
        block.release()
        for fd in held:
            os.close(fd or -1)


@pytest.mark.parametrize("make", ["directory", "link", "fifo"])
def test_what_is_no_lock_file_is_passed_over(tmp_path: Path, folder: Path, make: str) -> None:
    block = AddressBlock.claim(home(tmp_path, "one"), folder=folder)
    block.release()
    path = folder / f"127.{block.number}.lock"
    path.unlink()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    {"directory": path.mkdir, "link": lambda: path.symlink_to(victim), "fifo": lambda: os.mkfifo(path)}[make]()
    other = AddressBlock.claim(home(tmp_path, "one"), folder=folder)
    assert other.number != block.number and victim.read_text() == "precious"
    other.release()


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AddressesUnavailable, match=r"file should be a folder that every user may write to"):
        AddressBlock.claim(tmp_path, folder=tmp_path / "file")


def test_a_system_without_these_addresses_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: tuple[str, int]) -> None:
        raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(AddressesUnavailable, match=r"answers only at 127\.0\.0\.1 .* mizzen up needs Linux or WSL2"):
        AddressBlock.claim(tmp_path, folder=tmp_path / "f")


async def test_pods_get_addresses_that_can_be_bound(tmp_path: Path, folder: Path) -> None:
    block = AddressBlock.claim(home(tmp_path, "one"), folder=folder)
    addresses = PodAddresses(block)
    first = addresses.allocate()
    assert first == f"127.{block.number}.0.16"
    second = addresses.allocate([8080])
    with socket.create_server((second, 8080)):
        pass
    # The one freed last is given out last.
    addresses.release(first)
    assert addresses.allocate() not in (first, second)
    fresh = PodAddresses(block)
    fresh.adopt(first)
    assert fresh.allocate() == second
    block.release()


def test_all_addresses_are_given_out_once_and_then_it_is_said(tmp_path: Path, folder: Path) -> None:
    block = AddressBlock.claim(home(tmp_path, "one"), folder=folder)
    addresses = PodAddresses(block)
    prefix = f"127.{block.number}"
    for number in range(network.FIRST_POD, network.LAST_POD - 1):
        addresses.adopt(f"{prefix}.{number >> 8}.{number & 255}")
    assert {addresses.allocate(), addresses.allocate()} == {f"{prefix}.127.253", f"{prefix}.127.254"}
    with pytest.raises(AddressesUnavailable, match=f"all pod addresses of {prefix}.0.0/17 are in use"):
        addresses.allocate()
    block.release()


def test_an_address_on_which_a_port_is_taken_is_passed_over(tmp_path: Path, folder: Path) -> None:
    block = AddressBlock.claim(home(tmp_path, "one"), folder=folder)
    with socket.create_server((f"127.{block.number}.0.16", 0)) as stranger:
        port = stranger.getsockname()[1]
        assert PodAddresses(block).allocate([port]) == f"127.{block.number}.0.17"
    block.release()


def test_a_port_taken_everywhere_is_told_with_its_holder(tmp_path: Path, folder: Path) -> None:
    block = AddressBlock.claim(home(tmp_path, "one"), folder=folder)
    with socket.create_server(("", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(
            AddressesUnavailable, match=rf"port {port} is taken on every .* by process {os.getpid()} \("
        ):
            PodAddresses(block).allocate([port])
    block.release()


def test_who_listens_on_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = ports.holder(port)
        assert found is not None
        assert (found.address, found.pid) == ("127.0.0.1", os.getpid())
        assert "python" in str(found) or "pytest" in str(found)
        assert ports.holder(port, "127.0.0.1") == found
        assert ports.holder(port, "127.0.0.2") is None
    assert ports.holder(port) is None
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        found = ports.holder(server.getsockname()[1])
        assert found is not None and found.address == "::1"


def test_the_kernels_table_of_sockets_is_read() -> None:
    text = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 34567 1 0000 100 0 0 10 0
   1: 0100007F:1F91 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 34568 1 0000 100 0 0 10 0
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 0000 100 0 0 10 0
"""
    assert list(ports.parse(text)) == [("127.0.0.1", 8080, 34567), ("0.0.0.0", 22, 12)]
