"""Runs that are too long for a lesson; what they found is kept in `data/`."""
