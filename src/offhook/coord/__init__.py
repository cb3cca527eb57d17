"""What the servers of one line agree on: which request of a call is which."""
