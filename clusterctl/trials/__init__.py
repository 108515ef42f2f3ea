"""What loads hardware, one file a test."""
