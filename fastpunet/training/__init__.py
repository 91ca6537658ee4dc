"""Trains the methods: configs, batches, the objective, and all that a run keeps; the configs that come with it."""
