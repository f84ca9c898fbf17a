"""An embedded installation: one supervisor, its roles, and the home in which it keeps its things.

``mizzen up`` claims addresses, binds the API's and the gateway's ports and forks the roles from one process that has
imported what they share. The roles meet only at the API. The supervisor has no threads and no event loop, so that a
fork of it is always a clean start.
"""
