"""Image sources, the files that they are read from, and the batches drawn from them. Needs neither torch nor Ray."""
