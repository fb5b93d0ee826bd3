"""Plain data as YAML that reads like a file written by hand."""

from __future__ import annotations

import yaml


class Dumper(yaml.SafeDumper):
    """Indents lists, and writes texts of several lines as they are."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML has it so
        """Never write a list at its key's own depth."""
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


Dumper.add_representer(str, _text)


def text(document: object, dumper: type[Dumper] = Dumper) -> str:
    """The document, its keys in their own order."""
    return yaml.dump(document, Dumper=dumper, sort_keys=False, width=1000, allow_unicode=True)
