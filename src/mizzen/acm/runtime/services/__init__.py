"""The answers: what :mod:`mizzen.acm.runtime.service` promises, done with a store and a conductor.

What is refused is refused in the order and in the words of ONAP's runtime, for its clients read them.
"""
