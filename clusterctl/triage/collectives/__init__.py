"""What a job's collectives tell: who is missing, who comes last, where it stalled first."""
