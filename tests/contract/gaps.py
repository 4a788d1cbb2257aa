"""What a backend does not meet of the contract, and why; a gap that closes fails its test until it is taken out."""

_NO_WALL = "a plain child process has no wall; it is for development only"
_NO_INHERITANCE = "Monty's classes cannot have bases"
_NO_THREADS = "Monty has no threads"
_NOT_YET = "Monty's side of this rule is not there yet"
_NO_WASM_THREADS = "CPython for WebAssembly has no threads"

GAPS: dict[str, dict[str, str]] = {
    "jail": {},
    "local": {
        "check_host_files_cannot_be_read": _NO_WALL,
        "check_host_files_cannot_be_written": _NO_WALL,
        "check_the_host_process_cannot_be_seen": _NO_WALL,
        "check_the_network_cannot_be_reached": _NO_WALL,
    },
    "monty": {
        "check_a_class_can_inherit": _NO_INHERITANCE,
        "check_an_exception_of_a_cells_own_class_keeps_its_name": _NO_INHERITANCE,
        "check_generators_work": "Monty has no yield",
        "check_a_long_context_is_matched_by_patterns": "Monty's re takes a real str; ctx.search does this",
        "check_names_of_the_repl_are_there_again": _NOT_YET,
        "check_the_same_seed_gives_the_same_session": _NOT_YET,
        "check_inputs_are_variables": _NOT_YET,
        "check_every_kind_of_value_has_its_json_form": _NOT_YET,
        "check_a_value_of_megabytes_arrives_whole": _NOT_YET,
        "check_a_long_context_takes_a_first_probe": _NOT_YET,
        "check_an_argument_that_is_too_large_is_refused": _NOT_YET,
        "check_builtins_can_call_host_functions": "Monty cannot suspend inside a built-in function",
        "check_calls_from_threads_run_at_once": _NO_THREADS,
        "check_a_thread_that_outlives_its_cell_does_no_harm": _NO_THREADS,
    },
    "wasm": {
        "check_calls_from_threads_run_at_once": _NO_WASM_THREADS,
        "check_a_thread_that_outlives_its_cell_does_no_harm": _NO_WASM_THREADS,
    },
}
