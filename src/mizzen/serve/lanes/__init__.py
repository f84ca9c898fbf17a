"""Where a model's work waits and runs: one lane a model, its thread, and the batches it forms."""
