"""Where the mutants are: the modules that they change and the files of the tests that kill them.

Whoever moves a module or a test file changes one line here.
"""

from __future__ import annotations

from mutation import Module

# ------------------------------------------------------------------- modules

JOB_TABLE = Module("hpdist.core.dispatch.job_table")
DISPATCH = Module("hpdist.core.dispatch.state")
EVENT_HANDLER = Module("hpdist.core.dispatch.event_handler")
RETRY = Module("hpdist.core.dispatch.retry")
ASSIGNMENT = Module("hpdist.core.dispatch.assignment")
LOOP = Module("hpdist.core.run.loop")
COMMANDS = Module("hpdist.core.run.commands")
STUDY = Module("hpdist.core.study.study")
BRACKET = Module("hpdist.multi_fidelity.bracket")

JOURNAL = Module("hpdist.core.journal.journal")
JOURNAL_FORMAT = Module("hpdist.core.journal.format")
DURABLE_FILES = Module("hpdist.core.journal.durable_files")
DISK = Module("hpdist.core.journal.disk")
JOURNAL_FILE = Module("hpdist.core.journal.journal_file")
REPAIR = Module("hpdist.core.journal.repair")
RUN_KEY = Module("hpdist.core.journal.run_key")
RUN_NAMES = Module("hpdist.core.journal.run_names")
PRIVATE_FILES = Module("hpdist.core.journal.private_files")

REMOTE_WORKER = Module("hpdist.core.remote.remote_worker")
MESSAGES = Module("hpdist.core.remote.messages")
FIELD_CODEC = Module("hpdist.core.model.field_codec")
JSON_CODEC = Module("hpdist.core.model.json_codec")
CHANNEL = Module("hpdist.core.remote.channel")
PYRO = Module("hpdist.cluster.transport.pyro")
PYRO_CLIENT = Module("hpdist.cluster.transport.client")
PYRO_SERVER = Module("hpdist.cluster.transport.server")
CONNECTIONS = Module("hpdist.cluster.transport.connections")
DIRECTORY = Module("hpdist.cluster.directory")

# ------------------------------------------------------------------- tests

DISPATCH_MACHINE = "tests/property/test_dispatch_machine.py"
DISPATCH_TESTS = "tests/core/dispatch/test_dispatch_state.py::"
LOOP_TESTS = "tests/core/run/test_loop.py::"
RUN_TESTS = "tests/simulated/test_simulated_runs.py::"
SWARM_TESTS = "tests/simulated/test_swarm.py::"
REPLAY_TESTS = "tests/property/test_replay.py::"
JOURNAL_TESTS = "tests/core/journal/test_journal.py::"
CRASH_TESTS = "tests/property/test_journal_crashes.py::"
DAMAGE_TESTS = "tests/property/test_journal_damage.py::"
DURABLE_TESTS = "tests/property/test_durable_files.py::"
DIRECTORY_TESTS = "tests/core/journal/test_run_directory.py::"
RESUME_TESTS = "tests/core/run/test_resuming.py::"
REMOTE_TESTS = "tests/core/remote/test_remote_executor.py::"
JSON_TESTS = "tests/core/model/test_wire.py::"
CONNECTION_TESTS = "tests/fuzz/test_ends.py::"
FUZZ_TESTS = "tests/fuzz/test_fuzz.py::"
