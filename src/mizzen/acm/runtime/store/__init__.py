"""The runtime's memory: one database, SQLite by default, PostgreSQL by URL.

:mod:`.engine` runs units of work, each a transaction; :mod:`.tables` says what is kept; the other modules read and
write one kind of thing each. Compositions and instances are read whole, changed as values, and written back.
"""
