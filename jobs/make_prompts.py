#!/usr/bin/env python3
"""Prompts for config/smollm2.yaml from texts that every Debian machine has: licenses and Python's standard library.

    jobs/make_prompts.py OUT.jsonl [--count 16]

Writes JSON lines {"id": place, "text": ..., "file": ...}, one kind of text after the other in turn, so that any number of
them is a mixture. The ids are places in a fixed list: the same on every machine whose files are the same."""
import argparse
import json
import pathlib
import sysconfig

LICENSES = ["Apache-2.0", "GPL-3", "MPL-2.0", "GFDL-1.3", "LGPL-2.1", "Artistic", "GPL-1", "LGPL-3", "MPL-1.1", "GPL-2",
            "CC0-1.0", "GFDL-1.2", "LGPL-2"]
MODULES = ["argparse", "turtle", "difflib", "statistics", "ast", "datetime", "tarfile", "functools", "threading", "fractions",
           "heapq", "configparser", "ipaddress", "random", "socketserver", "pickletools", "textwrap", "uuid", "zipfile",
           "collections/__init__", "enum", "locale", "contextlib", "json/encoder", "logging/handlers", "mailbox", "optparse"]
CHARACTERS = 16000  # far more than 1024 tokens


def candidates():
    """Existing files, a license and a module in turn."""
    stdlib = pathlib.Path(sysconfig.get_path("stdlib"))
    kinds = [[pathlib.Path("/usr/share/common-licenses") / name for name in LICENSES],
             [stdlib / (name + ".py") for name in MODULES]]
    for place in range(max(map(len, kinds))):
        for kind in kinds:
            if place < len(kind) and kind[place].is_file():
                yield kind[place]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=16, help="number of prompts (default 16)")
    arguments = parser.parse_args()
    files = list(candidates())[:arguments.count]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    part = arguments.out.with_name(arguments.out.name + ".part")
    with open(part, "w", encoding="utf-8") as out:
        for place, path in enumerate(files):
            text = path.read_text(encoding="utf-8")[:CHARACTERS]
            out.write(json.dumps({"id": place, "text": text, "file": str(path)}) + "\n")
    part.rename(arguments.out)
    print(f"{arguments.out}: {len(files)} prompts")


if __name__ == "__main__":
    main()
