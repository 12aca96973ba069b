"""The mail and web servers of the alerts' tests."""

from __future__ import annotations

from tests.alerts.conftest import webhook
from tests.alerts.test_alerts_real import smtp

__all__ = ["smtp", "webhook"]
