"""Files that run ON a node: Python 3.6, standard library only.  Sent, never imported here."""
