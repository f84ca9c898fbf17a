"""The Open Inference Protocol (V2) over gRPC, without gRPC's library.

The transport is HTTP/2 as :mod:`mizzen.http` speaks it, on the event loop that serves REST, where a request costs a
third of what it does with grpcio's own loop and threads. What stands here is the rest: frames and statuses, the
messages, and the methods.
"""
