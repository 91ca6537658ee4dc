"""Maps and numbers over any number of hypotheses, none of which is kept."""
