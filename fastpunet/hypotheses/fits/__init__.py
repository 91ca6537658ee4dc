"""The hypothesis nearest to what somebody says: a mask, scribbles, points or a box."""
