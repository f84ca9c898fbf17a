"""Cluster IPs: addresses of a network of our own, each held by at most one Service."""

from __future__ import annotations

import ipaddress
import random


class Addresses:
    """The addresses of ``network``, such as ``127.40.128.0/17``.

    An address is *promised* from the moment a Service is prepared until the Service is stored, or is given back.
    """

    def __init__(self, network: str) -> None:
        self.network = ipaddress.ip_network(network)
        self._used: set[str] = set()
        self._promised: set[str] = set()

    def __contains__(self, address: str) -> bool:
        try:
            return ipaddress.ip_address(address) in self.network
        except ValueError:
            return False

    def is_free(self, address: str) -> bool:
        return address not in self._used and address not in self._promised

    def draw(self) -> str | None:
        """Promise some free address; ``None`` if there is none."""
        count = self.network.num_addresses - 2
        if count <= 0:
            return None
        start = random.randrange(count)
        for step in range(count):
            address = str(self.network[1 + (start + step) % count])
            if self.is_free(address):
                self._promised.add(address)
                return address
        return None

    def promise(self, address: str) -> bool:
        """Promise this address; false if it is not free."""
        if not self.is_free(address):
            return False
        self._promised.add(address)
        return True

    def give_back(self, address: str) -> None:
        """The Service for which an address was promised has not been stored."""
        self._promised.discard(address)

    def stored(self, before: str, after: str) -> None:
        """A Service that had one address now has another; either may be empty or no address."""
        if before != after:
            self._used.discard(before)
        if after in self:
            self._promised.discard(after)
            self._used.add(after)
