"""Functions that the model may call, run here."""
