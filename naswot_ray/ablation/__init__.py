"""What a score depends on besides the architecture: the paper's ablations, scored anew."""
