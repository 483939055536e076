"""The commands of `kid`, one group a file. Their heavy imports are inside the functions."""
