"""An embedded Kubernetes for one machine: the API, the workload controllers, the node and the gateway.

The rooms of the cluster never import each other. Like every other client they meet at the API, so each of them can be
replaced by a real cluster's without the others noticing.
"""
