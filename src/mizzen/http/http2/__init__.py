"""HTTP/2 (RFC 9113): many requests at once on one connection, for gRPC above all.

Frames, streams and flow control are our own, on top of hpack, because the state machines of the library ``h2`` cannot
do what a server under load must: finish what is under way after a GOAWAY, refuse one stream too many or end one
malformed request without ending the connection and with it everybody else's requests. It is also three times as fast.
The library is the peer that the tests hold this against.
"""
