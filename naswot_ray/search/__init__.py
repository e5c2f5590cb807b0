"""Architecture search by scores and by trainings, simulated over a dataset or with scores computed as it goes."""
