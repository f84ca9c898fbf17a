"""Automation compositions, as ONAP has them: messages, definitions, the KServe participant, a compact runtime."""
