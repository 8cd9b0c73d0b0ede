"""Mutants of messages: their text, their fields, and what waits for a worker."""

from __future__ import annotations

from edits import drop, never, swap
from mutation import mutant
from places import (
    CHANNEL,
    CONNECTION_TESTS,
    DIRECTORY,
    FIELD_CODEC,
    FUZZ_TESTS,
    JSON_CODEC,
    JSON_TESTS,
    MESSAGES,
    REMOTE_TESTS,
    REMOTE_WORKER,
)

HOSTILE_TEXT = JSON_TESTS + "test_hostile_text_is_refused_with_a_word"
OTHERS = REMOTE_TESTS + "test_messages_for_others_are_refused_with_both_sides_named"

TEXT_MUTANTS = (
    mutant(
        "a text of any length is read",
        JSON_CODEC.change("decode", never("len(text) > MAX_TEXT")),
        JSON_CODEC.change("_fault", never("len(text) > MAX_TEXT")),
        killed_by=HOSTILE_TEXT,
    ),
    mutant(
        "a message may be nested without end",
        JSON_CODEC.change("_shape_fault", swap("f'it is nested more than {MAX_DEPTH} deep'", "''")),
        killed_by=HOSTILE_TEXT,
    ),
    mutant(
        "NaN is taken for a number",
        JSON_CODEC.change("_constant", swap("raise ValueError(...)", "return float(name)")),
        killed_by=HOSTILE_TEXT,
    ),
    mutant(
        "a number beyond float is infinity",
        JSON_CODEC.change("_float", never("not math.isfinite(value)")),
        killed_by=HOSTILE_TEXT,
        quick=True,
    ),
)

FIELD_MUTANTS = (
    mutant(
        "an older master is obeyed",
        MESSAGES.change("check_recipient", never("known.epoch > epoch")),
        killed_by=OTHERS,
    ),
    mutant(
        "jobs of another run of the same name are taken for ours",
        MESSAGES.change("check_recipient", never("known.instance not in ('', instance)")),
        killed_by=OTHERS,
    ),
    mutant(
        "true is taken for the number one",
        FIELD_CODEC.change(
            "_read_integer", swap("type(value) is not int", "not isinstance(value, int)")
        ),
        killed_by=REMOTE_TESTS + "test_what_cannot_be_understood_is_refused_and_the_field_named",
    ),
    mutant(
        "a worker acts on a reply without reading it",
        CHANNEL.change(
            "exchange",
            swap("read_reply(channel.call(...))", "channel.call(write_message(message))"),
        ),
        killed_by=CONNECTION_TESTS + "test_a_reply_that_a_worker_could_not_obey_is_refused_by_name",
    ),
    mutant(
        "a nameserver is taken at its word",
        DIRECTORY.change("_text", never("not isinstance(value, str)")),
        killed_by=FUZZ_TESTS + "test_what_once_did_harm_does_no_more",
        says="TypeError",
    ),
)

REMOTE_WORKER_MUTANTS = (
    mutant(
        "a repeated request is taken for a new one",
        REMOTE_WORKER.change("Call.__init__", swap("request > mailbox.request", "True")),
        killed_by=REMOTE_TESTS + "test_no_work_is_lost_or_given_twice_whatever_replies_get_lost",
    ),
    mutant(
        "a registration drops the assignments that were on their way",
        REMOTE_WORKER.change("_Mailbox.open", drop("self._restore(...)")),
        killed_by=REMOTE_TESTS + "test_work_in_a_lost_reply_comes_again_with_the_next_registration",
        quick=True,
    ),
)

MESSAGE_MUTANTS = (*TEXT_MUTANTS, *FIELD_MUTANTS, *REMOTE_WORKER_MUTANTS)
