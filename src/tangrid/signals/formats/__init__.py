"""Readers of picture files, one module for each family of formats."""
