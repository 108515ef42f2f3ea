"""What is judged, one file a question."""
