"""What codes and findings mean, as data with sources."""
