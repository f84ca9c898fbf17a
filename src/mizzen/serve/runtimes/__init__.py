"""The frameworks: each makes a :class:`~mizzen.serve.model.Model` of the files that it saves."""
