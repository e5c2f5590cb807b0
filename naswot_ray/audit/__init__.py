"""Whether a dataset's scores are what they claim to be: what rows tell by themselves, and what computing some again tells."""
