"""Does the prediction rank models as training does? The study behind the page."""
