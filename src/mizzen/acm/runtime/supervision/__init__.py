"""What the runtime does without being asked: it hears participants, watches the clock, sends, and sends again.

:mod:`.inbox` takes what participants say, :mod:`.presence` knows which of them are there, :mod:`.sender` empties the
outbox, :mod:`.scanner` finds what time has decided, :mod:`.repeats` sees to it that an order outlives a broker.
"""
