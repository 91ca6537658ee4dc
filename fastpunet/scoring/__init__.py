"""Draws and scores the hypotheses of a whole data set, in one way for every caller."""
