"""The second call shape: from a prompt to chunks. Its models, the lane they run in, and what carries the chunks."""
