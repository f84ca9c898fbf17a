"""What an order does, what an acknowledgement does, and what comes next: functions of values alone.

An order is allowed by :mod:`.states`, begun by :mod:`.begin` (an instance) and :mod:`.prime` (a composition), put into
words by :mod:`.messages`, answered by :mod:`.acks` and carried on or ended by :mod:`.progress`, phase after phase
(:mod:`.phases`). What participants are told afterwards is in :mod:`.syncs`.
"""
