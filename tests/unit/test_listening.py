# SPDX-License-Identifier: Apache-2.0
"""What telemd says where it can't have the sockets it is reached by."""

from __future__ import annotations

import sys

import pytest

from telemd.listening import ListenError, inherited_listeners


def test_sockets_of_systemd_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setitem(sys.modules, "systemd.daemon", None)
    with pytest.raises(ListenError, match="install python3-systemd"):
        inherited_listeners()
