"""A Kubernetes API from the side of those who use it: client, informers, controllers, and the words both sides share.

Dictionaries go in and come out; typed structs (:mod:`mizzen.apis`) are read from them at the edge. Nothing here knows
whether the API is embedded or a real cluster's.
"""
