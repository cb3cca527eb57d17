"""Bytes to OpenAI objects and back. Pure: no I/O, no await, no clock."""
