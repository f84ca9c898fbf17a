"""How models lie on disk: one folder, a folder of folders, MLServer's settings, Triton's repository, code of one's own.

A layout is a :class:`~mizzen.serve.repository.Source`. :func:`~mizzen.serve.layouts.find.source` tells which one a
path is, by what lies there.
"""
