"""What people ask of a dataset. Reads datasets only."""
