"""The gRPC messages of the V2 protocol."""
