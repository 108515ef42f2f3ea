"""What a node is asked, one file a tool or file system."""
