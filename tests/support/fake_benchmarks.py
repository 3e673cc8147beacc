"""`python -m benchmarks` on fake hosts: `python fake_benchmarks.py run …`, for tests that need a separate process."""

import sys

import fake_hosts as fakes

from benchmarks.cli.commands import main
from benchmarks.execution import request

request.Host = fakes.hosts_of(fakes.FakeMachine())  # type: ignore[misc]
request.read_subject = fakes.subject
sys.exit(main())
