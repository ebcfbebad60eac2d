"""Sequences with their answers: every form that they are read from, split and batched."""
