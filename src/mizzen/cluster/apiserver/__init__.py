"""The embedded Kubernetes API: a store, a registry of resources, and an HTTPS server in front of both.

A request is decoded, defaulted, admitted, validated and stored, then every watcher hears of it. What all kinds share
is written once; what one kind does differently is a small class in :mod:`mizzen.cluster.apiserver.builtin`, and a
custom resource is the same machinery driven by the schema of its definition.
"""
