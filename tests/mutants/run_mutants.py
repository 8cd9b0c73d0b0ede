"""Mutants of the loop and of the study: in which order things happen, what is evaluated next."""

from __future__ import annotations

from edits import after, at_start, before, move, never, only_if, swap
from mutation import mutant
from places import BRACKET, COMMANDS, LOOP, LOOP_TESTS, REPLAY_TESTS, RUN_TESTS, STUDY, SWARM_TESTS

REPLAY = REPLAY_TESTS + "test_after_each_record_a_replay_stands_where_the_live_run_stood"
SWARM = SWARM_TESTS + "test_nothing_is_lost_doubled_or_stuck_in_any_mixture_of_faults[1]"

LOOP_MUTANTS = (
    mutant(
        "leases are judged before what has arrived is handled",
        LOOP.change(
            "Loop.turn",
            swap("self.inbox.take(...)", "arrived"),
            at_start(
                "arrived = self.inbox.take(until=self._next_turn_at())\n"
                "self._take(self.dispatch.tick(self.inbox.now()))"
            ),
        ),
        killed_by=LOOP_TESTS + "test_a_busy_loop_gives_up_no_worker_whose_word_is_waiting",
        says="a healthy worker was given up",
    ),
    mutant(
        "orders are given before they are written",
        LOOP.change(
            "Loop._flush",
            before(
                "self.journal.commit()",
                "self._perform()",
            ),
        ),
        killed_by=LOOP_TESTS + "test_a_run_writes_before_it_acts_and_ends_finished",
        says="acted before it was written",
    ),
    mutant(
        "orders go out before their records are durable",
        LOOP.change(
            "Loop._flush",
            before(
                "self.journal.commit()",
                "if self._orders:\n    self._perform()",
            ),
        ),
        killed_by=SWARM,
        says="before it was durable",
    ),
    mutant(
        "orders are dropped while the disk is full",
        LOOP.change(
            "Loop._flush", after("self._retry_at = now + FULL_DISK_RETRY_S", "self._orders = []")
        ),
        killed_by=LOOP_TESTS + "test_with_a_full_disk_orders_wait_and_nothing_is_lost",
        says="the run cannot continue",
    ),
    mutant(
        "what the job source refuses is journaled all the same",
        LOOP.change(
            "Loop._record",
            move("self.source.apply(record)", behind="self.journal.append(record, at)"),
        ),
        killed_by=LOOP_TESTS + "test_a_record_that_the_source_refuses_never_gets_into_the_journal",
        says="the run could never be resumed",
    ),
    mutant(
        "a command that makes no sense ends the search",
        COMMANDS.change("Commands.execute", swap("ConfigurationError", "KeyError")),
        killed_by=LOOP_TESTS + "test_a_command_that_cannot_be_carried_out_does_not_end_the_search",
        says="n_trials must be a whole number >= 0",
    ),
)

STUDY_MUTANTS = (
    mutant(
        "failed configurations are promoted",
        BRACKET.change("HalvingBracket._rank", swap("loss < math.inf", "True")),
        killed_by=RUN_TESTS + "test_crashes_are_tried_again_and_then_fail_and_are_not_promoted",
        says="a failed configuration was promoted",
    ),
    mutant(
        "a proposal draws from a generator with a state",
        STUDY.change(
            "Study._suggest",
            swap(
                "np.random.default_rng(...)",
                "vars(self).setdefault('_rng', np.random.default_rng(self.seed))",
            ),
        ),
        killed_by=REPLAY,
        says="another proposal than the log holds next",
    ),
    mutant(
        "a proposal once made is kept although results came in",
        STUDY.change(
            "Study.apply",
            only_if("not isinstance(record, AttemptEnded)", "self._proposal = None"),
        ),
        killed_by=REPLAY,
        says="another proposal than the log holds next",
        quick=True,
    ),
    mutant(
        "lost and cancelled evaluations are told to the optimizer",
        STUDY.change(
            "Study._settled", never("isinstance(outcome, Failure) and not outcome.kind.counts")
        ),
        killed_by=LOOP_TESTS + "test_a_job_cancelled_by_command_is_not_told_to_the_optimizer",
        says="told of an evaluation that never was",
        quick=True,
    ),
    mutant(
        "a bracket is opened although all trials are made",
        STUDY.change("Study._next", swap("self._all_trials_made", "False")),
        killed_by=RUN_TESTS + "test_a_search_ends_when_its_trials_are_made_and_promoted",
        says="Asha has one iteration",
    ),
)
