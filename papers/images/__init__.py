"""The image table: models by images, on equal budgets, beside published numbers."""
