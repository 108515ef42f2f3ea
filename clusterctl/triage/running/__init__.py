"""What a running job tells from outside: two readings of every node, ranks held against others."""
