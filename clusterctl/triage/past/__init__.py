"""What earlier runs know of the nodes that a triage suspects."""
