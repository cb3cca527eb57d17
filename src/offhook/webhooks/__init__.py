"""What platforms tell of a call beside its turns: status webhooks, checked and read."""
