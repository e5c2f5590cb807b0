"""The engines that run networks on a batch, their weights, and the scores of one network. Needs torch; no Ray, no pyarrow."""
