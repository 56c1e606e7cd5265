"""The same situations, for pollreload and for what is used instead."""
