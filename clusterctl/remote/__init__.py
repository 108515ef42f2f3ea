"""Files that run ON a node: Python 3.6, standard library only, sent over stdin.  Never imported here."""
