"""Scores of labelled variants beside their baselines."""
