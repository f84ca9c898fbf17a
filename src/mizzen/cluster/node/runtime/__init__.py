"""What starts, isolates, watches and ends the processes of pods.

A *pod parent* (:mod:`.parent`) is a small process without threads or an event loop that outlives whoever started it: it
forks containers, keeps their logs and exit status on disk, and is reached by a Unix socket. With framework modules
preloaded it is a zygote; without, it is the launcher. The node agent talks to it through :class:`.client.PodParent`
and to nothing else of the process side:

- :mod:`.spec`: what to start (:class:`ProcessSpec`, :class:`Mount`) and what became of it (:class:`Container`,
  :class:`Exit`);
- :mod:`.client`: ``PodParent.ensure``, ``start``, ``stop``, ``signal``, ``exec``, ``list``, ``events``, ``shutdown``;
- :mod:`.logs`: ``read``, ``tail_text``, ``previous``;
- :mod:`.namespaces`: ``probe``; :mod:`.substitution`: ``substituted`` for where namespaces are not permitted;
- :mod:`.network`: ``AddressBlock``, ``PodAddresses``; :mod:`.identity`: ``Identity``; :mod:`.memory`: ``over_limit``.

Nothing is imported here, because the parent must not load what only the agent needs.
"""
