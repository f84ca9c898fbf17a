"""The runtime over HTTP: ONAP's REST API, its OpenAPI document, and what operations watch (health and metrics).

It holds no rule of compositions: it reads requests, asks the :class:`~mizzen.acm.runtime.service.Service`, and says
what came of it with the paths, codes, headers and texts that clients of ONAP's runtime know.
"""
