"""Comparisons of runs: sweeps, figures, error distributions."""
