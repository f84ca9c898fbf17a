"""Custom resources: kinds that come with their definition, at run time."""
