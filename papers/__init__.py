"""Published comparisons, made again here: data, and the commands that fill them."""
