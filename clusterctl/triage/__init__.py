"""A slow job: what kind of slowness, whose, and what to do next."""
