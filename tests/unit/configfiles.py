# SPDX-License-Identifier: Apache-2.0
"""A configuration file with a given text, and what comes of it: the settings, or the mistake that is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from telemd.config import ConfigError, Loaded, load


def loaded(file: Path, text: str) -> Loaded:
    file.write_text(text, encoding="utf-8")
    return load(str(file))


def refused(file: Path, text: str | bytes) -> ConfigError:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load(str(file))
    assert caught.value.file == str(file)
    assert str(caught.value).startswith(f"{file}:{caught.value.line}: " if caught.value.line else f"{file}: ")
    assert caught.value.remedy
    assert str(caught.value).endswith(caught.value.remedy)
    return caught.value
