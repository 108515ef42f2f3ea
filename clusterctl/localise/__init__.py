"""Measurements of paths -> which part is slow, how sure, and why; columns in, columns out."""
