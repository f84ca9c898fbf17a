"""The protocols, beside each other: each maps its requests to a model's ``infer`` and its answers back."""
