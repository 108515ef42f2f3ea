"""Paths between a job's nodes, probed when somebody asks: lightly, or in full rounds."""
