"""A compact runtime of automation compositions: its database, its supervision, its REST API and its pages."""
