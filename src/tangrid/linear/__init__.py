"""Exact solutions of fields that are linear in what is trained."""
