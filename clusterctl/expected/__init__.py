"""What a healthy part does, one file a SKU; every number with its source."""
