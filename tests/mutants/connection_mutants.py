"""Mutants of the Pyro4 connections at both ends: limits, keys, session marks."""

from __future__ import annotations

from edits import drop, never, swap
from mutation import mutant
from places import CONNECTION_TESTS, CONNECTIONS, PYRO, PYRO_CLIENT, PYRO_SERVER

NO_KEY = CONNECTION_TESTS + "test_a_peer_without_the_key_is_not_let_in"
REPLAYED = CONNECTION_TESTS + "test_a_call_is_served_once_and_on_its_own_connection_only"

LIMIT_MUTANTS = (
    mutant(
        "whatever length is announced is awaited",
        PYRO.change("Reader.recv", never("not 0 <= size <= self._max_bytes")),
        killed_by=CONNECTION_TESTS + "test_more_than_is_expected_is_not_read",
    ),
    mutant(
        "flags that decompress or call without reply are heeded",
        PYRO.change("Reader.recv", never("flags & ~self._flags")),
        killed_by=CONNECTION_TESTS + "test_a_flag_that_was_not_allowed_ends_the_reading",
    ),
    mutant(
        "an introduction is awaited without limit",
        PYRO_SERVER.change("GuardedDaemon._handshake", swap("until - time.monotonic()", "None")),
        killed_by=CONNECTION_TESTS + "test_an_introduction_is_awaited_two_seconds_at_most",
    ),
    mutant(
        "a message that was begun is awaited for ever",
        PYRO.change("Reader._start_deadline", drop("self._deadline = ...")),
        killed_by=CONNECTION_TESTS + "test_a_message_that_was_begun_is_not_awaited_for_ever",
    ),
    mutant(
        "a client waits for ever",
        PYRO_CLIENT.change(
            "Connection._request",
            swap("self._reader.expect(timeout_s)", "self._reader.expect(None)"),
        ),
        killed_by=CONNECTION_TESTS + "test_a_client_waits_no_longer_than_it_was_told",
        says="no limit at all",
    ),
    mutant(
        "a connection that has ended is counted for ever",
        CONNECTIONS.change("ConnectionTable.remove", drop("self._authenticated.discard(...)")),
        killed_by=CONNECTION_TESTS + "test_a_peer_is_counted_from_its_first_call_to_its_end",
        says="it would be counted for ever",
    ),
)

TRUST_MUTANTS = (
    mutant(
        "both ends leave the key out",
        PYRO_SERVER.change(
            "GuardedDaemon.__init__",
            swap("self._pyroHmacKey = key", "self._pyroHmacKey = None"),
        ),
        PYRO_CLIENT.change("Connection.__init__", swap("self._key = key", "self._key = None")),
        killed_by=NO_KEY,
    ),
    mutant(
        "any serializer will do",
        PYRO_SERVER.change(
            "GuardedDaemon._admit", never("request.serializer_id not in self._accepted")
        ),
        killed_by=CONNECTION_TESTS + "test_a_peer_that_speaks_another_serializer_is_not_let_in",
    ),
    mutant(
        "a server may have objects made by its clients",
        PYRO_CLIENT.change(
            "Connection._content",
            swap("msgpack.unpackb(...)", "serializer().loads(reply.data)"),
        ),
        killed_by=CONNECTION_TESTS + "test_no_object_is_made_of_what_a_server_sends",
    ),
    mutant(
        "what an unauthenticated connection is told is signed",
        PYRO_SERVER.change(
            "GuardedDaemon._shake_hands", swap("key = None", "key = self._pyroHmacKey")
        ),
        killed_by=NO_KEY,
        says="he could show it as his own",
    ),
)

SESSION_MUTANTS = (
    mutant(
        "the answer to another call is taken for that to this one",
        PYRO_CLIENT.change("Connection._request", never("reply.seq != seq")),
        killed_by=CONNECTION_TESTS + "test_an_answer_to_another_call_is_refused",
    ),
    mutant(
        "an answer that was recorded is believed",
        PYRO_CLIENT.change("Connection._invoke", never("not hmac.compare_digest(...)")),
        killed_by=CONNECTION_TESTS + "test_an_answer_that_was_recorded_is_refused",
    ),
    mutant(
        "the mark of the session is not looked at",
        PYRO_SERVER.change("check_session", never("... and not hmac.compare_digest(...)")),
        killed_by=REPLAYED,
    ),
    mutant(
        "calls are not counted",
        PYRO.change("session_mark", swap("nonce + ...", "nonce")),
        killed_by=REPLAYED,
        quick=True,
    ),
    mutant(
        "each connection has the same nonce",
        PYRO.change("make_nonce", swap("secrets.token_bytes(NONCE_BYTES)", "bytes(NONCE_BYTES)")),
        killed_by=REPLAYED,
    ),
)

CONNECTION_MUTANTS = (*LIMIT_MUTANTS, *TRUST_MUTANTS, *SESSION_MUTANTS)
