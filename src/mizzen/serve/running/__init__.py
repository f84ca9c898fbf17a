"""The server as processes: sockets, workers, the way up, the way down, and what is said of a crash."""
