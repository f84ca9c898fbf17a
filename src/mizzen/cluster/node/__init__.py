"""The embedded cluster's one node: what a kubelet is to Kubernetes, with processes in the place of containers."""
