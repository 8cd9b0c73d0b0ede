"""Which tests play the attacker, threat by threat."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

#: By threat: what it is, and the tests. Files without a directory are in this one.
THREATS: dict[str, tuple[str, dict[str, list[str]]]] = {
    "T1": (
        "a rogue server makes a client unpickle",
        {
            "test_clients.py": [
                "test_no_client_opens_a_pickle_of_a_rogue",
                "test_not_even_one_with_the_key_gets_a_pickle_opened",
                "test_a_worker_led_to_a_rogue_ends_with_a_word",
                "test_a_master_dials_a_rogue_in_the_nameserver_and_goes_on",
                "test_no_command_opens_a_pickle_of_a_rogue",
                "test_each_program_that_opens_connections_unlearns_to_unpickle",
                "test_a_worker_that_was_started_as_a_process_unlearns_it_too",
                "test_a_rogue_at_the_port_of_a_dead_dispatcher_sends_no_worker_home",
                "test_a_rogue_at_the_port_of_a_dead_nameserver_loses_no_worker",
            ],
            "cluster/test_server_channel.py": [
                "test_a_hardened_process_cannot_unpickle_even_with_a_proxy_of_pyro",
                "test_lies_of_a_server_are_refused",
            ],
        },
    ),
    "T2": (
        "calls without the key; forged results",
        {
            "test_doors.py": [
                "test_no_method_of_either_daemon_is_served_without_the_key",
                "test_forged_results_and_commands_without_the_key_reach_nobody",
            ],
            "test_key_holders.py": [
                "test_results_of_what_does_not_run_are_not_recorded",
                "test_each_result_is_recorded_once_however_often_it_is_sent",
                "test_a_worker_of_another_key_gets_no_work",
                "test_a_command_that_is_none_is_refused",
            ],
        },
    ),
    "T3": (
        "the nameserver is poisoned, wiped, or made to run for ever",
        {
            "test_doors.py": [
                "test_poison_and_wiping_need_the_key_and_reading_too",
                "test_with_the_key_neither_prefix_nor_pattern_wipes_the_names",
                "test_a_recorded_change_of_the_nameserver_changes_nothing_again",
                "test_without_the_mark_of_its_session_a_call_may_read_names_and_not_change_them",
            ],
            "test_key_holders.py": [
                "test_a_dispatcher_that_comes_back_leaves_the_entry_of_its_successor",
                "test_a_nameserver_whose_answers_are_none_is_refused_with_a_word",
            ],
            "cluster/test_nameserver.py": ["test_regular_expressions_are_refused"],
        },
    ),
    "T4": (
        "code in a shared directory",
        {
            "test_files.py": [
                "test_pickles_in_the_directory_of_a_run_are_opened_by_nobody",
                "test_a_pickle_in_place_of_a_file_of_the_run_is_refused",
                "test_the_command_of_another_user_is_not_run_by_resuming",
            ]
        },
    ),
    "T5": (
        "pickled checkpoints and results",
        {"test_files.py": ["test_nothing_in_hpdist_unpickles_but_processes_that_it_started"]},
    ),
    "T6": (
        "run ids that lead elsewhere",
        {
            "test_files.py": ["test_no_entry_point_takes_a_run_id_that_leads_elsewhere"],
            "core/journal/test_run_directory.py": [
                "test_names_that_could_leave_the_directory_are_no_run_ids"
            ],
        },
    ),
    "T7": (
        "paths that lead elsewhere, by job ids and links",
        {
            "test_files.py": [
                "test_a_worker_refuses_work_whose_numbers_are_none",
                "test_no_attempt_writes_through_a_link_out_of_the_run_directory",
                "test_a_job_id_of_any_kind_becomes_a_number",
            ]
        },
    ),
    "T8": (
        "hostile results, and text that steers a terminal or a spreadsheet",
        {
            "test_key_holders.py": [
                "test_a_result_that_is_none_is_refused_by_name",
                "test_a_message_with_a_hostile_field_is_refused",
                "test_text_that_is_no_message_ends_nothing",
            ],
            "test_displays.py": [
                "test_no_command_lets_text_of_others_steer_the_terminal",
                "test_progress_lets_nothing_through_either",
                "test_no_cell_of_the_csv_is_a_formula_or_steers_a_terminal",
                "test_html_is_written_by_nobody_and_a_table_of_pandas_escapes_it",
                "test_what_a_worker_says_of_itself_steers_nobody_who_lists_names",
            ],
            "test_files.py": ["test_a_worker_refuses_a_reply_that_is_none"],
            "core/model/test_wire.py": ["test_hostile_text_is_refused_with_a_word"],
        },
    ),
    "T9": (
        "memory and time before the key is shown",
        {
            "test_doors.py": [
                "test_whatever_a_stranger_sends_ends_only_his_own_connection",
                "test_announced_lengths_cost_no_memory",
                "test_a_pickle_in_the_handshake_is_not_opened",
                "test_a_drip_of_bytes_is_cut_off_with_the_handshakes_time",
            ]
        },
    ),
    "T10": (
        "too many connections",
        {
            "test_doors.py": [
                "test_a_hundred_idle_connections_at_each_port_keep_no_worker_out",
                "test_a_flood_of_connections_keeps_no_worker_out",
                "test_a_peer_with_the_key_is_never_cut_to_make_room",
                "test_the_address_that_takes_most_places_makes_room",
                "test_a_replayed_handshake_occupies_no_place_of_a_peer",
                "test_what_a_stranger_is_told_cannot_be_shown_as_a_handshake",
            ]
        },
    ),
    "T11": (
        "eavesdropping, which only TLS prevents",
        {
            "test_tls.py": [
                "test_nothing_is_to_be_read_on_the_way",
                "test_nobody_on_the_way_can_take_the_tls_off",
                "test_nothing_is_said_to_a_rogue_server",
                "test_an_answer_given_while_the_server_closes_is_encrypted_too",
                "test_a_client_who_does_not_care_who_answers_is_kept_out",
                "test_strangers_who_say_no_more_block_nobody_and_are_cut_off",
            ]
        },
    ),
    "T12": (
        "recordings, mirrors, and flags changed on the way",
        {
            "test_doors.py": [
                "test_a_recorded_session_is_served_to_nobody_a_second_time",
                "test_recorded_answers_do_not_pass_for_those_of_the_dispatcher",
                "test_only_the_answer_to_this_very_call_is_believed",
                "test_after_the_handshake_rubbish_ends_the_connection_too",
            ],
            "cluster/test_server_channel.py": [
                "test_flags_are_refused_of_a_peer_with_the_key_too",
                "test_a_recorded_call_is_not_served_again",
            ],
        },
    ),
    "T13": (
        "the key is seen",
        {
            "test_key_leaks.py": [
                "test_no_command_line_shows_the_key",
                "test_no_process_that_is_started_has_the_key_in_its_environment",
                "test_no_log_shows_the_key_though_everything_is_logged",
                "test_no_file_of_a_run_shows_the_key_and_neither_does_the_nameserver",
                "test_the_objectives_process_holds_no_connection_and_no_file_of_the_run",
                "test_a_key_shows_itself_in_no_text_and_no_traceback",
                "test_hpdist_makes_no_proxy_which_would_carry_the_key_wherever_it_is_sent",
            ],
            "test_clients.py": [
                "test_a_program_refuses_an_environment_that_makes_pyro_unsafe",
                "test_no_variable_makes_a_daemon_take_pickles",
            ],
        },
    ),
    "T14": (
        "open to the network by accident",
        {
            "test_key_leaks.py": [
                "test_all_ports_are_on_loopback_and_none_takes_datagrams",
                "test_all_interfaces_at_once_are_refused",
                "test_neither_daemon_listens_beyond_loopback_without_a_whole_key",
                "test_the_command_line_says_that_a_key_is_too_short_for_the_network",
            ]
        },
    ),
    "T15": (
        "other users of the machine",
        {
            "test_files.py": [
                "test_a_file_of_another_user_is_not_believed",
                "test_a_file_that_others_can_open_is_not_believed",
                "test_a_link_to_a_file_elsewhere_is_not_followed",
                "test_with_no_umask_at_all_a_key_and_its_place_are_private",
            ],
            "test_key_leaks.py": [
                "test_without_any_umask_the_run_directory_is_private_and_its_files_too"
            ],
        },
    ),
    "T16": (
        "an exception that ends the one who gets it",
        {
            "test_clients.py": ["test_an_exception_that_is_sent_ends_nobody"],
            "cluster/test_server_channel.py": [
                "test_an_exception_of_the_server_is_told_and_not_raised"
            ],
        },
    ),
}


def functions_in(file: str | Path) -> set[str]:
    """The functions of a file; one without a directory is in this one."""
    folder = TESTS if "/" in str(file) else TESTS / "security"
    tree = ast.parse((folder / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("threat", THREATS)
def test_the_tests_that_are_named_exist(threat: str) -> None:
    _, tests = THREATS[threat]
    assert tests
    for file, names in tests.items():
        assert not set(names) - functions_in(file), file


def test_every_threat_is_in_the_table() -> None:
    assert set(THREATS) == {f"T{number}" for number in range(1, 17)}


def test_every_test_that_the_promises_name_exists() -> None:
    text = (TESTS.parent / "SECURITY.rst").read_text()
    named = {word.strip("`,.") for word in text.split() if word.startswith("``test_")}
    there = {name for file in TESTS.rglob("test_*.py") for name in functions_in(file)}
    assert len(named) >= 12
    assert not named - there
