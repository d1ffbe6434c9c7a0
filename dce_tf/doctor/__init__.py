"""What is wrong with a data set, found from its embeddings and its files."""
