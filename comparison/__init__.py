"""The same twelve behaviours, of pollreload and of what is used instead."""
