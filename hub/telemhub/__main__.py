# SPDX-License-Identifier: Apache-2.0
"""`python -m telemhub`. Nothing but the call: what the program does stands in main."""

import sys

from telemhub.main import main

sys.exit(main(sys.argv))
