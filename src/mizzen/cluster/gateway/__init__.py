"""The gateway: one port in front of all models, and the addresses of services.

It learns where requests go from API objects alone (Ingress, HTTPRoute, Service, EndpointSlice) and never from the
resources that made them. Each kind of source compiles its objects to routes of one table, the proxy asks that table
about every single request, and the objects' status says when they are live.
"""
