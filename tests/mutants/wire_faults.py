"""Faults in what is said and heard over the network, and in the files that decide who may."""

from __future__ import annotations

from mutation import Mutant

WIRE, PYRO = "hpdist.core.model.json_codec", "hpdist.cluster.transport.pyro"
CLIENT, DAEMON = "hpdist.cluster.transport.client", "hpdist.cluster.transport.server"
GUESTS, LINK, NAMES = (
    "hpdist.cluster.transport.connections",
    "hpdist.cluster.transport.link",
    "hpdist.cluster.directory",
)
MESSAGES, FIELDS = "hpdist.core.remote.messages", "hpdist.core.model.fields"
FILES, DISK = "hpdist.core.journal.run_directory", "hpdist.core.journal.disk"

ENDS = "tests/fuzz/test_ends.py::"
TEXTS = "tests/core/model/test_wire.py::"
REMOTE = "tests/core/remote/test_remote_executor.py::"
RUNS = "tests/core/journal/test_run_directory.py::"
NAMESERVER = "tests/cluster/test_nameserver.py::"
HARMLESS = "tests/fuzz/test_fuzz.py::test_what_once_did_harm_does_no_more"
NOT_RAISED = "DID NOT RAISE"

WIRE_MUTANTS = (
    Mutant(
        "a text of any length is read",
        (
            (WIRE, "    if len(text) > MAX_TEXT:\n        raise", "    if False:\n        raise"),
            (WIRE, "    if len(text) > MAX_TEXT:\n        return", "    if False:\n        return"),
        ),
        TEXTS + "test_hostile_text_is_refused_with_a_word",
        NOT_RAISED,
    ),
    Mutant(
        "a message may be nested without end",
        ((WIRE, 'return f"it is nested more than {MAX_DEPTH} deep"', 'return ""'),),
        TEXTS + "test_hostile_text_is_refused_with_a_word",
        NOT_RAISED,
    ),
    Mutant(
        "NaN is taken for a number",
        ((WIRE, "parse_constant=_constant", "parse_constant=float"),),
        TEXTS + "test_hostile_text_is_refused_with_a_word",
        NOT_RAISED,
    ),
    Mutant(
        "a number beyond float is infinity",
        ((WIRE, "if not math.isfinite(value):", "if False:"),),
        TEXTS + "test_hostile_text_is_refused_with_a_word",
        NOT_RAISED,
    ),
    Mutant(
        "whatever length is announced is awaited",
        ((PYRO, "if not 0 <= size <= self._longest:", "if False:"),),
        ENDS + "test_more_than_is_expected_is_not_read",
        NOT_RAISED,
    ),
    Mutant(
        "flags that decompress or call without reply are heeded",
        ((PYRO, "if flags & ~self._flags:", "if False:"),),
        ENDS + "test_a_flag_that_was_not_allowed_ends_the_reading",
        NOT_RAISED,
    ),
    Mutant(
        "a stranger may take his time",
        (
            (
                DAEMON,
                "conn.reader.expect(until - time.monotonic(), MAX_SHORT_BYTES)",
                "conn.reader.expect(None, MAX_SHORT_BYTES)",
            ),
        ),
        ENDS + "test_an_introduction_is_awaited_two_seconds_at_most",
        "limit is not None and limit <= HANDSHAKE_S",
    ),
    Mutant(
        "a message that was begun is awaited for ever",
        ((PYRO, "self._deadline = time.monotonic() + MESSAGE_S", "pass"),),
        ENDS + "test_a_message_that_was_begun_is_not_awaited_for_ever",
        "limit is not None and limit <= MESSAGE_S",
    ),
    Mutant(
        "a client waits for ever",
        ((CLIENT, "self._reader.expect(timeout_s)", "self._reader.expect(None)"),),
        ENDS + "test_a_client_waits_no_longer_than_it_was_told",
        "no limit at all",
    ),
    Mutant(
        "both ends leave the key out",
        (
            (DAEMON, "self._pyroHmacKey = key", "self._pyroHmacKey = None"),
            (CLIENT, "self._key = who, object_id, key", "self._key = who, object_id, None"),
        ),
        ENDS + "test_a_peer_without_the_key_is_not_let_in",
        "assert not True",
    ),
    Mutant(
        "any serializer will do",
        ((DAEMON, "if request.serializer_id not in self._accepted:", "if False:"),),
        ENDS + "test_a_peer_that_speaks_another_serializer_is_not_let_in",
        "assert b'is not accepted' in",
    ),
    Mutant(
        "the answer to another call is taken for that to this one",
        ((CLIENT, "if reply.seq != seq:", "if False:"),),
        ENDS + "test_an_answer_to_another_call_is_refused",
        NOT_RAISED,
    ),
    Mutant(
        "the mark of the session is not looked at",
        (
            (
                DAEMON,
                "if given is not None and not hmac.compare_digest(",
                "if False and hmac.compare_digest(",
            ),
        ),
        ENDS + "test_a_call_is_served_once_and_on_its_own_connection_only",
        NOT_RAISED,
    ),
    Mutant(
        "calls are not counted",
        ((PYRO, 'return nonce + (count | answer << 63).to_bytes(8, "big")', "return nonce"),),
        ENDS + "test_a_call_is_served_once_and_on_its_own_connection_only",
        NOT_RAISED,
    ),
    Mutant(
        "each connection has the same nonce",
        ((PYRO, "return secrets.token_bytes(NONCE_BYTES)", "return bytes(NONCE_BYTES)"),),
        ENDS + "test_a_call_is_served_once_and_on_its_own_connection_only",
        NOT_RAISED,
    ),
    Mutant(
        "a peer that has left is counted for ever",
        ((GUESTS, "self._peers.discard(connection)", "pass"),),
        ENDS + "test_a_peer_is_counted_from_its_first_call_to_its_end",
        "it would be counted for ever",
    ),
    Mutant(
        "what a stranger is told is signed",
        (
            (
                DAEMON,
                "        key = None  # nothing is signed",
                "        key = self._pyroHmacKey  # x",
            ),
        ),
        ENDS + "test_a_peer_without_the_key_is_not_let_in",
        "he could show it as his own",
    ),
    Mutant(
        "an answer to another call is believed",
        ((CLIENT, "if not hmac.compare_digest(", "if False and hmac.compare_digest("),),
        ENDS + "test_an_answer_that_was_recorded_is_refused",
        NOT_RAISED,
    ),
    Mutant(
        "a server may have objects made by its clients",
        (
            (
                CLIENT,
                "content = msgpack.unpackb(reply.data)",
                "content = serializer().loads(reply.data)",
            ),
        ),
        ENDS + "test_no_object_is_made_of_what_a_server_sends",
        "assert <MagicMock",
    ),
    Mutant(
        "a worker acts on a reply without reading it",
        (
            (
                LINK,
                'return read_reply(self._call("exchange", message))',
                'return self._call("exchange", message)',
            ),
        ),
        ENDS + "test_a_reply_that_a_worker_could_not_obey_is_refused_by_name",
        NOT_RAISED,
    ),
    Mutant(
        "a nameserver is taken at its word",
        ((NAMES, "    if not isinstance(value, str):", "    if False:"),),
        HARMLESS,
        "TypeError",
    ),
    Mutant(
        "an older master is obeyed",
        ((MESSAGES, "if known > epoch:", "if False:"),),
        REMOTE + "test_messages_for_others_are_refused_with_both_sides_named",
        "assert 'ok' == 'refused'",
    ),
    Mutant(
        "jobs of another run of the same name are taken for ours",
        ((MESSAGES, 'if read_text(message, "book", 64) not in ("", book):', "if False:"),),
        REMOTE + "test_messages_for_others_are_refused_with_both_sides_named",
        "assert 'ok' == 'refused'",
    ),
    Mutant(
        "true is taken for the number one",
        (
            (
                FIELDS,
                "if type(value) is not int or not least <= value <= most:",
                "if not isinstance(value, int) or not least <= value <= most:",
            ),
        ),
        REMOTE + "test_what_cannot_be_understood_is_refused_and_the_field_named",
        "== 'refused'",
    ),
    Mutant(
        "a run may be named like a path",
        ((FILES, "_RUN_ID.fullmatch(run_id)", "_RUN_ID.match(run_id)"),),
        RUNS + "test_names_that_could_leave_the_directory_are_no_run_ids",
        NOT_RAISED,
    ),
    Mutant(
        "a key that everybody can read is used",
        ((FILES, "if status.st_mode & 0o077:", "if False:"),),
        RUNS + "test_a_key_that_others_may_open_is_refused_with_the_remedy",
        NOT_RAISED,
    ),
    Mutant(
        "a key that somebody else wrote is used",
        ((FILES, "if status.st_uid != os.geteuid():", "if False:"),),
        RUNS + "test_a_key_of_another_user_is_refused",
        NOT_RAISED,
    ),
    Mutant(
        "a link in place of the key is followed",
        ((FILES, "os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK", "os.O_RDONLY | os.O_NONBLOCK"),),
        RUNS + "test_a_link_a_directory_and_a_pipe_are_no_key_files",
        NOT_RAISED,
    ),
    Mutant(
        "what was meant to be a key is shown in the error",
        ((FILES, 'f"{source} holds no key"', 'f"{source} holds no key but {text!r}"'),),
        RUNS + "test_what_is_no_key_is_refused_and_never_shown",
        "not in",
    ),
    Mutant(
        "the lock of a run is not taken",
        ((DISK, "fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass"),),
        "tests/core/run/test_resuming.py::test_a_run_that_is_open_is_locked",
        NOT_RAISED,
    ),
)
