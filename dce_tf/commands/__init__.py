"""The commands of `python main.py`: one file each, found by its name."""
