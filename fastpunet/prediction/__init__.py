"""From files to files: reads images, draws their hypotheses, and writes these with what they say."""
