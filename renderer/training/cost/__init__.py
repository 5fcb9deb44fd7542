"""What a run will take of this machine: memory from sizes alone, time from a short trial."""
