"""What becomes of a text before it is spoken: string in, string out. Pure."""
