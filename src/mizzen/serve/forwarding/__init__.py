"""A model that stands before another one: its requests, made into those of the protocol that the other speaks.

Transformers and explainers are such. They are written for one protocol and deployed before a predictor of any, so what
goes out is converted where the two differ, and what comes back is converted back; an error keeps the status and the
words that the predictor gave it.
"""
