"""Stands in for curl on machines that have none: ``curl [-s] [-N] [-H HEADER]... [-d BODY] URL``."""

from __future__ import annotations

import argparse
import sys
import urllib.request


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-N", action="store_true")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-d")
    parser.add_argument("url")
    asked = parser.parse_args()
    headers = dict(header.split(": ", 1) for header in asked.H)
    body = None if asked.d is None else asked.d.encode()
    with urllib.request.urlopen(urllib.request.Request(asked.url, body, headers)) as response:
        sys.stdout.write(response.read().decode())


if __name__ == "__main__":
    main()
