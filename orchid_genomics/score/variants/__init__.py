"""Variants to numbers."""
