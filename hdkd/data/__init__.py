"""Images: acquired, prepared, split, balanced, and drawn in batches."""
