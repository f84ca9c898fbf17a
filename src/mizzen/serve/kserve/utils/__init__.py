"""KServe's helpers."""
