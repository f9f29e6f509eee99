"""Gateways log warnings only."""

from __future__ import annotations

import structlog

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
