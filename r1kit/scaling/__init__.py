"""Inference-time scaling: what more samples, votes and scores make of one model."""
