"""What a run waits for before its first step and after its last one."""
