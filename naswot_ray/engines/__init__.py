"""The engines that run networks on a batch, the weights, and the scores of one network. Needs torch, but not Ray or pyarrow."""
