"""Mizzen serves machine-learning models from Kubernetes-style manifests."""

__version__ = "0.1.0"
