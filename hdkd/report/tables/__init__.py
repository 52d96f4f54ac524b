"""A study in numbers: tidy frames, statistics over them, and how tables show them."""
