"""What earlier runs know: findings over nights, the past of a part, swaps, lemons."""
