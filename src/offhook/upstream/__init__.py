"""One model service behind the line, described as data."""
