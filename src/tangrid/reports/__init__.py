"""Pages that show what runs left behind; they read records and compute nothing."""
