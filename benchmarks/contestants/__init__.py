"""What `step` compares: each in a process of its own, that times a block on command."""
