"""Segmentations and graders over a plane of the latent space."""
