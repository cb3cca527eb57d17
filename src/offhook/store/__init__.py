"""Records of calls: what is kept, and where."""
