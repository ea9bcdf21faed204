"""Measurements: of images, of latent spaces, of disentanglement."""
