"""From records to scores: hypotheses of a whole data set, drawn and scored in one way for every caller."""
