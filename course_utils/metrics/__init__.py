"""Measurements: of subspaces, of images, of latent spaces, of disentanglement."""
