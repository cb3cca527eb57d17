"""Turns and their replies: who runs what, and who reads it."""
