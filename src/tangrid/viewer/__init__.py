"""Fitted fields in a browser: what is drawn for its cameras, and who draws it."""
