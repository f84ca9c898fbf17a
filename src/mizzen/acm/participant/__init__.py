"""A participant: it registers, takes what its element handler can do, does it, and says how it went."""
