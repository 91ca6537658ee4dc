"""What a model says of annotations: their place among the hypotheses, and how likely they are."""
