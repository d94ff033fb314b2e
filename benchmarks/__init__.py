"""Measure how long things take."""
