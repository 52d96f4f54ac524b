"""What a run draws: prepared images, subsets, batches and their augmentation."""
