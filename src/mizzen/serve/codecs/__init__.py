"""Requests and answers as bytes: JSON, raw tensors, compression, and the datatypes between them and numpy."""
