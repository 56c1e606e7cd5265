"""What pollreload costs, beside what a user would pick instead."""
