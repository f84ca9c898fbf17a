"""What is told of requests: counts and durations, the access log, spans."""
