"""A laboratory: does dividing pay, and in which form? See docs/ablation.md."""
