"""What a job's stacks tell: who is not where the others wait."""
