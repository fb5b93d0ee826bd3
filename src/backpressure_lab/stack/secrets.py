"""Passwords and keys of one lab: generated once, kept in one file of mode 0600, never printed or passed in argv."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass, fields

from backpressure_lab.errors import DamagedLabError
from backpressure_lab.files import write_json, write_text
from backpressure_lab.stack.layout import Layout


@dataclass(frozen=True, repr=False)
class Secrets:
    """Every secret of a lab."""

    admin_password: str
    postgres_password: str
    airflow_password: str
    lab_password: str
    backpressure_password: str
    fernet_key: str
    api_secret_key: str
    jwt_secret: str
    control_token: str

    def roles(self) -> dict[str, str]:
        """The passwords of PostgreSQL's roles, by their names."""
        return {"airflow": self.airflow_password, "lab": self.lab_password, "backpressure": self.backpressure_password}

    @classmethod
    def generate(cls) -> Secrets:
        """New random secrets; the Fernet key is 32 bytes in URL-safe base64, as Airflow asks for."""
        names = [field.name for field in fields(cls) if field.name != "fernet_key"]
        fernet_key = base64.urlsafe_b64encode(os.urandom(32)).decode()
        return cls(fernet_key=fernet_key, **{name: secrets.token_urlsafe(24) for name in names})

    @classmethod
    def load(cls, layout: Layout) -> Secrets:
        """The secrets of this lab, generated at the first call.

        Raises:
            DamagedLabError: the file is there and cannot be read as secrets.
        """
        try:
            text = layout.secrets_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            if (layout.database / "PG_VERSION").exists():
                raise DamagedLabError(layout.secrets_file, "it is missing while the database is there") from None
            made = cls.generate()
            write_json(layout.secrets_file, asdict(made), mode=0o600)
            write_text(layout.token_file, made.control_token, mode=0o600)
            return made
        try:
            found = cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise DamagedLabError(layout.secrets_file, str(error)) from error
        write_text(layout.token_file, found.control_token, mode=0o600)
        return found
