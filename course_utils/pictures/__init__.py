"""What one lesson alone draws."""
