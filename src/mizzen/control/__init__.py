"""Controllers that know only the API: they run beside the embedded cluster or on a real one, unchanged."""
