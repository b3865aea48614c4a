"""The page of many devices: its code prints what it shows, in a process that has eight."""

import jax
import pytest
from test_readme import test_the_code_prints_what_is_shown as check

from tests.devices import run_with_devices

if jax.device_count() < 8:

    def test_in_a_process_with_eight_devices():
        run_with_devices(__file__, 8)

else:

    @pytest.mark.usefixtures("standard_promotion")
    def test_the_page():
        check("docs/scale.md")
