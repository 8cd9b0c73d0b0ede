"""An engine that answers a bomb."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from attackers import bomb

from hpdist.views.values import PickledValue, read_value


def test_no_client_opens_what_an_engine_has_pickled(tmp_path: Path) -> None:
    mark = tmp_path / "went off"
    pickled = base64.b64encode(bomb(mark)).decode()
    with pytest.raises(PickledValue):
        read_value(json.dumps({"type": "int", "pickled": pickled}), unpickle=False)
    assert not mark.exists()
    read_value(json.dumps({"type": "int", "pickled": pickled}), unpickle=True).close()
    assert mark.exists(), "the bomb is one"
