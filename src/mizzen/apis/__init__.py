"""Typed resources: what a manifest of each kind looks like, how it is defaulted, validated and merged.

Everything here is a value or a pure function on values; nothing opens a socket or a file but the schema data
that ships beside the code. A decoded struct is for reading. Writers send renders and patches, never a decoded
struct back, because a struct knows only the fields that Mizzen reads.
"""
