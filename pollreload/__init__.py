"""Poll files, compare their contents, and signal the process that uses them."""
