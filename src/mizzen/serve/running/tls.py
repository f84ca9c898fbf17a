"""The server's certificate, read again when its files change, as certificates that expire in days need."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from mizzen.serve.errors import ServeError

logger = logging.getLogger(__name__)

INTERVAL = 10.0


class Certificate:
    """A chain and its key.

    Attributes:
        context: for the listener; connections made after a change get the new certificate.

    Raises:
        ServeError: the files are not a certificate and its key.
    """

    def __init__(self, certfile: str, keyfile: str) -> None:
        self._files = (Path(certfile), Path(keyfile))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._seen = self._stamp()
        try:
            self.context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            raise ServeError(f"the certificate {certfile} with key {keyfile} cannot be used: {error}") from None

    def _stamp(self) -> tuple[float, ...]:
        # A mounted secret changes by a link that is swapped: follow it.
        return tuple(file.stat().st_mtime if file.exists() else 0.0 for file in self._files)

    def refresh(self) -> bool:
        """Read the files again if they changed. Keeps the old ones if the new ones are broken."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            self.context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            logger.warning("the changed certificate %s cannot be used, the old one stays: %s", self._files[0], error)
            return False
        logger.info("the certificate %s was read again", self._files[0])
        return True

    async def watch(self) -> None:
        """Refresh for ever."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.refresh()
