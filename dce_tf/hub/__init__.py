"""Models on the Hugging Face Hub: `hf://user/name`, read and written."""
