"""Failures in the rigs show what was compared, as those in the tests do."""

import pytest

pytest.register_assert_rewrite("tests.chaos", "tests.integration", "tests.support", "tests.diagrams")
