"""Image sources, the files that they are read from, and the batches that are sampled from them. Needs neither torch nor Ray."""
