"""The command line: one small file per verb; nothing heavy is imported to parse it."""
