"""Scores of variants and elements: streamed over files of any length, killed, resumed and split
without a trace.
"""
