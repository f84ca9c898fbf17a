"""The hot path's HTTP: a server and clients of HTTP/1.1 and HTTP/2, all protocol classes on one event loop.

What a model server and a gateway spend per request is mostly what their HTTP costs, so this package has no framework
under it: llhttp parses HTTP/1.1 (through httptools), hpack decodes HTTP/2's header blocks, uvloop moves the bytes, and
between them stand a few small classes that keep order, limits and time. A request is answered synchronously, or later
from a callback, and costs no task.
"""
