"""Text to embedding."""
