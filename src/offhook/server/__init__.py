"""The endpoint: HTTP in, turns begun, replies read out."""
