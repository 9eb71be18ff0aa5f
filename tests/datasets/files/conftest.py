"""What the tests of this room share."""

import pytest

from mmssl.datasets.files import counts


@pytest.fixture
def said(monkeypatch):
    """The warnings that are logged, as if none had been before."""
    messages = []
    monkeypatch.setattr(counts, '_REPORTED', set())
    monkeypatch.setattr(
        counts, 'print_log', lambda text, level=20, **_: level > 20 and messages.append(text)
    )
    return messages
