"""What a batch is to losses and miners: labels, and distances between embeddings."""
