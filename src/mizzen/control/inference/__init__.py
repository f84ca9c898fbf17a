"""InferenceService: from a manifest that names a model to pods that serve it and a URL that reaches them.

The middle is pure: :mod:`runtimes` picks who serves a model, :mod:`podspec` merges its pod, :mod:`standard` and
:mod:`ingress` render the children, :mod:`status` reads what became of them. Only :mod:`controller` talks to the API.
"""
