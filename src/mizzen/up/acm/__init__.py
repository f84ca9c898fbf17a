"""A set for automation compositions on this machine: a broker, a runtime and a participant, kept running together."""
