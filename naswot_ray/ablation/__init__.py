"""What the measures depend on besides the architecture: the paper's ablations, computed anew."""
