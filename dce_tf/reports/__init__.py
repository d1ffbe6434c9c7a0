"""What a person sees of a run: plots, sheets, TensorBoard."""
