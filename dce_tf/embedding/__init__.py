"""Embedding many images: here or on a Ray cluster, into Parquet files."""
