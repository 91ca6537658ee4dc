"""What one would have to know: the pixel, region or question that tells most about the mode."""
