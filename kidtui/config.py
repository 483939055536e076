"""The user's own settings of the front end: `config.toml` in the config folder."""

from __future__ import annotations

from pathlib import Path

import tomli
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine import paths
from engine.errors import UsageError, nearest


class Config(BaseModel):
    """What config.toml can say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    theme: str = ""
    """Name of the monitor's theme; left out: kid's own dark one."""
    bell: bool = True
    """Ring the terminal's bell and send its notification when a run ends."""
    keys: dict[str, str] = Field(default_factory=dict)
    """Other keys for the monitor: the id of a key (see its help) and the key, or several with commas."""


def load(path: Path | None = None) -> Config:
    """What the config file says; without one, the defaults.

    Raises:
        UsageError: it cannot be read, is not TOML, or says what is not known.
    """
    path = path or paths.config_file()
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}", "check the file and its permissions") from None
    try:
        return Config.model_validate(tomli.loads(text))
    except tomli.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UsageError(
                f"{path}: unknown key '{key}'", nearest(key, list(Config.model_fields))
            ) from None
        raise UsageError(f"{path}: {key}: {first['msg']}") from None
