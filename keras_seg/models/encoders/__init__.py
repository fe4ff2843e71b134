"""Encoders: images to features by level."""
