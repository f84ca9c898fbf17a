"""Whose certificates a predictor's is checked against."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from mizzen.serve.forwarding.errors import Unreachable

# KServe's variables, and OpenSSL's own.
VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """For connections to the predictor: the authorities that the environment names, else the system's.

    Raises:
        Unreachable: the file that is named cannot be used.
    """
    for variable in VARIABLES:
        file = environ.get(variable)
        if file:
            try:
                return ssl.create_default_context(cafile=file)
            except (OSError, ssl.SSLError) as error:
                raise Unreachable(f"{variable} names {file}, which holds no certificates: {error}", 503) from None
    return ssl.create_default_context()
