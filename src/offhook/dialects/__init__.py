"""What each voice platform does differently from plain OpenAI. Pure; one file per platform."""
