"""The root of every exception that Mizzen raises for a person to read."""


class MizzenError(Exception):
    """Something went wrong that the message explains: what, where, and what would be right instead.

    Every package derives its own exceptions from this one, so that a command can print any of them as a
    sentence and keep tracebacks for defects.
    """
