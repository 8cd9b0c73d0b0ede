"""The faults, and who must notice each."""

from __future__ import annotations

from durable_faults import DURABLE_FAULTS
from mutation import Mutant
from wire_faults import WIRE_MUTANTS

BOOK, DISPATCH = "hpdist.core.dispatch.tables", "hpdist.core.dispatch.state"
RETRYING, STUDY, LOOP = (
    "hpdist.core.dispatch.retry",
    "hpdist.core.study.study",
    "hpdist.core.run.loop",
)
HANDOUT, JOURNAL, MAILBOX = (
    "hpdist.core.dispatch.assignment",
    "hpdist.core.journal.journal",
    "hpdist.core.remote.mailbox",
)

MACHINE = "tests/property/test_dispatch_machine.py"
ROWS = "tests/core/dispatch/test_dispatch_state.py::"
LOOPS = "tests/core/run/test_loop.py::"
RUNS = "tests/simulated/test_simulated_runs.py::"
REPLAY = "tests/property/test_replay.py::"
JOURNALS = "tests/core/journal/test_journal.py::"
REMOTE = "tests/core/remote/test_remote_executor.py::"

AWAITS = "return not self.state.settled and attempt == self.attempt != self.answered"
MAY_END = "if entry.state.settled or record.attempt != entry.attempt:"
MUTANTS = (
    Mutant(
        "no fence: a stale attempt's result is accepted",
        (
            (BOOK, AWAITS, "return not self.state.settled and attempt != self.answered"),
            (BOOK, MAY_END, "if entry.state.settled:"),
        ),
        ROWS + "test_a_result_of_an_earlier_attempt_is_acknowledged_and_not_counted",
        "stale result counted",
    ),
    Mutant(
        "no done-check: a settled job's result is recorded again",
        (
            (BOOK, AWAITS, "return attempt == self.attempt != 0"),
            (BOOK, MAY_END, "if record.attempt != entry.attempt:"),
        ),
        ROWS + "test_a_repeated_result_counts_once_and_is_acknowledged_again",
        "one attempt counted twice",
    ),
    Mutant(
        "a crash that is told twice counts twice",
        ((BOOK, AWAITS, "return not self.state.settled and attempt == self.attempt"),),
        ROWS + "test_a_crash_that_was_recorded_before_a_restart_is_not_counted_again",
        "Cancel(",
    ),
    Mutant(
        "a late release takes a newer attempt away",
        (
            (
                DISPATCH,
                "if worker.holds.get(event.job_id) == event.attempt:\n"
                "            self._give_back(*held)",
                "if event.job_id in worker.holds:\n"
                "            self._give_back(event.job_id, worker.holds[event.job_id])",
            ),
        ),
        ROWS + "test_a_late_release_does_not_take_a_newer_attempt_away",
        "a newer attempt was taken back",
    ),
    Mutant(
        "a stale result is not acknowledged, so its sender never stops",
        (
            (
                DISPATCH,
                "        self._order(Acknowledge(",
                "        if entry and entry.attempt == result.attempt:\n"
                "            self._order(Acknowledge(",
            ),
        ),
        ROWS + "test_a_result_of_an_earlier_attempt_is_acknowledged_and_not_counted",
        "stale result counted",
    ),
    Mutant(
        "attempt numbers are forgotten at a restart",
        (
            (
                DISPATCH,
                "        for worker in list(self.workers.values()):\n            worker.connected",
                "        for entry in self.jobs.values():\n"
                "            entry.attempt *= entry.state is not JobState.QUEUED\n"
                "        for worker in list(self.workers.values()):\n            worker.connected",
            ),
        ),
        ROWS + "test_attempt_numbers_go_on_rising_after_a_restart",
        "an attempt number was used twice",
    ),
    Mutant(
        "a restarted master gives everybody up at once",
        (
            (
                DISPATCH,
                "if not may_return:\n                self._lose",
                "if True:\n                self._lose",
            ),
        ),
        RUNS + "test_a_master_killed_again_and_again_loses_and_repeats_nothing",
        "an evaluation on a healthy worker was given up",
    ),
    Mutant(
        "an attempt thought lost is never taken up again",
        ((DISPATCH, "is JobState.QUEUED and entry.is_current(attempt):", "is None:"),),
        ROWS + "test_a_worker_thought_lost_takes_its_attempt_up_again",
        "healthy work was thrown away",
    ),
    Mutant(
        "what a worker never got is thought to run on after a restart",
        ((DISPATCH, "self._give_back(*held)\n\n    def _readopt", "pass\n\n    def _readopt"),),
        ROWS + "test_after_a_restart_what_the_worker_never_got_goes_back_at_nobodys_charge",
        "== Decision([BACK, ended(0, 1, None, False)]",
    ),
    Mutant(
        "a lost worker's job is not queued again",
        ((BOOK, "self.queue.appendleft(record.job_id)", "pass"),),
        MACHINE,
        "assert (queued, held[job_id]) == expected",
    ),
    Mutant(
        "leases are judged before what has arrived is handled",
        (
            (
                LOOP,
                "        for at, event in self.inbox.take(until=self._next_look()):\n",
                "        arrived = self.inbox.take(until=self._next_look())\n"
                "        self._take(self.dispatch.tick(self.inbox.now()))\n"
                "        for at, event in arrived:\n",
            ),
        ),
        LOOPS + "test_a_busy_loop_gives_up_no_worker_whose_word_is_waiting",
        "a healthy worker was given up",
    ),
    Mutant(
        "a closed connection ends the lease at once",
        ((DISPATCH, "min(worker.deadline, now + self.timing.closed_s)", "now"),),
        ROWS + "test_a_closed_connection_shortens_the_lease_and_takes_nothing",
        "a hint was taken for a proof",
    ),
    Mutant(
        "a closed connection may make a lease longer",
        (
            (
                DISPATCH,
                "min(worker.deadline, now + self.timing.closed_s)",
                "now + self.timing.closed_s",
            ),
        ),
        ROWS + "test_a_closed_connection_shortens_the_lease_and_takes_nothing",
        "the lease was made longer",
    ),
    Mutant(
        "one counter for crashes and losses",
        (
            (
                RETRYING,
                "attempts = before[outcome.kind] + 1",
                "attempts = sum(before.values()) + 1",
            ),
        ),
        ROWS + "test_crashes_and_losses_are_counted_apart",
        "a loss counted as a crash",
    ),
    Mutant(
        "an exception is tried again as if it were a loss",
        (
            (
                RETRYING,
                "FailureKind.EXCEPTION: retry.exceptions + 1",
                "FailureKind.EXCEPTION: retry.max_losses",
            ),
        ),
        ROWS + "test_a_failure_that_is_not_retried_settles_the_job",
        "final=False",
    ),
    Mutant(
        "back-off never ends",
        ((DISPATCH, "self.delayed.items() if at > now}", "self.delayed.items()}"),),
        RUNS + "test_workers_that_die_all_the_time_slow_the_run_and_do_not_stop_it",
        "the loop spins",
    ),
    Mutant(
        "crashes are forgiven again and again",
        ((DISPATCH, "worker.crashed_in_a_row.clear()\n        self._record", "self._record"),),
        ROWS + "test_what_still_crashes_there_afterwards_is_forgiven_no_second_time",
        "assert 2 == 1",
    ),
    Mutant(
        "jobs pinned to one worker hide what others could run",
        (
            (
                DISPATCH,
                "while not self.paused and self._hand_out(now):\n            pass",
                "if not self.paused:\n            self._hand_out(now)",
            ),
        ),
        ROWS + "test_many_jobs_pinned_to_one_worker_do_not_hide_work_for_others",
        "idle beside work",
    ),
    Mutant(
        "the worker that just failed is forbidden, not avoided",
        (
            (
                HANDOUT,
                "if worker.room <= 0 or not",
                "if worker.room <= 0 or worker_id == entry.avoid or not",
            ),
        ),
        ROWS + "test_a_job_goes_elsewhere_after_a_failure_if_there_is_an_elsewhere",
        "a preference became a rule",
    ),
    Mutant(
        "orders are given before they are written",
        (
            (
                LOOP,
                "        try:\n            self.journal.commit()\n        except JournalFull",
                "        self.executor.perform([self._complete(order) for order in self._orders])\n"
                "        self._orders = []\n"
                "        try:\n            self.journal.commit()\n        except JournalFull",
            ),
        ),
        LOOPS + "test_a_run_writes_before_it_acts_and_ends_finished",
        "acted before it was written",
    ),
    Mutant(
        "orders are dropped while the disk is full",
        (
            (
                LOOP,
                "            self._retry_at = now + FULL_DISK_RETRY_S\n",
                "            self._retry_at = now + FULL_DISK_RETRY_S\n"
                "            self._orders = []\n",
            ),
        ),
        LOOPS + "test_with_a_full_disk_orders_wait_and_nothing_is_lost",
        "the run is stuck",
    ),
    Mutant(
        "what the source refuses is journaled all the same",
        (
            (
                LOOP,
                "        self.source.apply(record)\n        self.journal.append(record, at)\n",
                "        self.journal.append(record, at)\n        self.source.apply(record)\n",
            ),
        ),
        LOOPS + "test_a_record_that_the_source_refuses_never_gets_into_the_journal",
        "the run could never be resumed",
    ),
    Mutant(
        "a command that makes no sense ends the search",
        ((LOOP, "except ConfigurationError as error:", "except KeyError as error:"),),
        LOOPS + "test_a_command_that_cannot_be_carried_out_does_not_end_the_search",
        "n_trials must be a whole number >= 0",
    ),
    Mutant(
        "failed configurations are promoted",
        (("hpdist.multi_fidelity.bracket", " if loss < math.inf)", ")"),),
        RUNS + "test_crashes_are_tried_again_and_then_fail_and_are_not_promoted",
        "a failed configuration was promoted",
    ),
    Mutant(
        "a proposal draws from a generator with a state",
        (
            (
                STUDY,
                "        rng = np.random.default_rng("
                "np.random.SeedSequence(self.seed, spawn_key=(trial_id,)))\n",
                "        rng = vars(self).setdefault('_rng', np.random.default_rng(self.seed))\n",
            ),
        ),
        REPLAY + "test_after_each_record_a_replay_stands_where_the_live_run_stood",
        "another proposal than the log holds next",
    ),
    Mutant(
        "a proposal once made is kept although results came in",
        (
            (
                STUDY,
                "            return\n        self._proposal = None\n",
                "            return\n        if not isinstance(record, AttemptEnded):\n"
                "            self._proposal = None\n",
            ),
        ),
        REPLAY + "test_after_each_record_a_replay_stands_where_the_live_run_stood",
        "another proposal than the log holds next",
    ),
    Mutant(
        "lost and cancelled evaluations are told to the optimizer",
        ((STUDY, "isinstance(outcome, Failure) and not outcome.kind.counts", "False"),),
        LOOPS + "test_a_job_cancelled_by_command_is_not_told_to_the_optimizer",
        "told of an evaluation that never was",
    ),
    Mutant(
        "a bracket is opened although all trials are made",
        ((STUDY, "if self._all_trials_made or index >=", "if index >="),),
        RUNS + "test_a_search_ends_when_its_trials_are_made_and_promoted",
        "Asha has one iteration",
    ),
    Mutant(
        "what a full disk refused is forgotten",
        (
            (
                JOURNAL,
                "            if error.errno in _FULL:\n",
                "            if error.errno in _FULL:\n                self._buffer = []\n",
            ),
        ),
        JOURNALS + "test_a_full_disk_leaves_whole_records_and_loses_nothing",
        "DID NOT RAISE JournalFull",
    ),
    Mutant(
        "what a full disk took is written again",
        ((JOURNAL, "write(self._fd, data[self._written :])", "write(self._fd, data)"),),
        JOURNALS + "test_a_full_disk_leaves_whole_records_and_loses_nothing",
        "another writer",
    ),
    Mutant(
        "a torn tail is not cut",
        (
            (
                JOURNAL,
                "    if found.good_bytes < found.total_bytes:\n        disk.truncate",
                "    if False:\n        disk.truncate",
            ),
        ),
        "tests/property/test_journal_damage.py"
        "::test_a_cut_at_any_byte_gives_the_longest_whole_prefix_and_appending_works",
        "changed by another writer",
    ),
    Mutant(
        "a commit does not wait for the disk",
        ((JOURNAL, "            self._disk.sync_data(self._fd)\n", "            pass\n"),),
        JOURNALS + "test_a_commit_is_one_write_and_one_sync",
        "assert ['write'] == ['write', 'sync']",
    ),
    Mutant(
        "a repeated request is taken for a new one",
        ((MAILBOX, "self.is_new = request > box.request", "self.is_new = True"),),
        REMOTE + "test_no_work_is_lost_or_given_twice_whatever_replies_get_lost",
        "assert received ==",
    ),
    Mutant(
        "a hello drops the work that was on its way",
        ((MAILBOX, "                    box.restore(said.holds)\n", "                    pass\n"),),
        REMOTE + "test_work_in_a_lost_reply_comes_again_with_the_next_hello",
        "assert [] == [(1, 1)]",
    ),
    *DURABLE_FAULTS,
    *WIRE_MUTANTS,
)
