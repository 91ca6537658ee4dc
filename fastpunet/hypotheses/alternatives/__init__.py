"""Which alternatives there are: the modes of the hypotheses, with probabilities."""
