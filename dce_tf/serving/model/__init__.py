"""The model that is served: its versions, signatures and batches."""
