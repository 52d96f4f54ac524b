"""Run folders and their records, and the evidence that a study keeps of them."""
