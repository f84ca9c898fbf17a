"""Automation compositions, as ONAP's CLAMP has them: messages, definitions, the KServe participant, a compact runtime."""
