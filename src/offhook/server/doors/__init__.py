"""Doors for platforms that speak over a WebSocket. They lead to the same turns as chat completions."""
