"""Ask every node of an AI cluster the same questions; print one honest verdict."""
