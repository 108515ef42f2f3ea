"""What a job's timeline tells: every step replayed with one kind of slowness repaired at a time."""
