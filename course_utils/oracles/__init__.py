"""Exact answers that trained models are compared with."""
