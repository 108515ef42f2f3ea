"""What goes with a ticket to a vendor: gathered from a node, without its secrets, one archive."""
