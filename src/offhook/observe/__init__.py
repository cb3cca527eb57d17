"""What can be seen of the running house from outside."""
