"""A study in pieces, on several machines: what to train, what travels, what comes back."""
