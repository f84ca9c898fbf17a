"""KServe's protocol classes."""
