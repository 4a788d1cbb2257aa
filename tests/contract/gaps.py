"""What a backend does not meet of the contract, and why; a gap that closes fails its test until it is taken out."""

_NO_WALL = "a plain child process has no wall; it is for development only"
_NO_CLASS = "the subset has no class"
_NO_WHILE = "the subset has no while, and an endless loop cannot be written"
_NO_ASYNC = "the subset has no async and no await; host functions are called without"
_NO_SUBSET_MODULE = "the subset has no such module"
_NO_THREADS = "Monty has no threads"
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
        "check_generators_work": "Monty has no yield",
        "check_a_long_context_takes_a_first_probe": "Monty refuses str() of a whole long text by name; slices work",
        "check_calls_from_threads_run_at_once": _NO_THREADS,
        "check_a_thread_that_outlives_its_cell_does_no_harm": _NO_THREADS,
    },
    "subset": {
        "check_imports_are_kept": _NO_SUBSET_MODULE,
        "check_a_class_of_an_earlier_cell_makes_objects": _NO_CLASS,
        "check_a_class_can_inherit": _NO_CLASS,
        "check_an_exception_of_a_cells_own_class_keeps_its_name": _NO_CLASS,
        "check_generators_work": "the subset has no yield; generator expressions are lazy",
        "check_two_sandboxes_share_nothing": "the subset has no hasattr",
        "check_modules_are_there_without_import": "the subset's zlib only decompresses",
        "check_stderr_is_apart": "the subset has one output, and no sys",
        "check_an_output_flood_ends_the_cell": _NO_WHILE,
        "check_the_same_seed_gives_the_same_session": "the subset has no random, and no hash order",
        "check_a_long_context_takes_a_first_probe": "the subset refuses str() of a long text by name; slices work",
        "check_every_kind_of_value_has_its_json_form": "the subset refuses integers of more than 4,300 digits by name",
        "check_an_argument_that_is_too_large_is_refused": "the subset's own memory limit comes first",
        "check_a_long_context_is_matched_by_patterns": "the subset's re takes a real str; ctx.search does this",
        "check_a_long_context_is_there_after_a_limit": _NO_WHILE,
        "check_an_awaited_call_gives_its_result": _NO_ASYNC,
        "check_an_awaited_call_in_a_function_gives_its_result": _NO_ASYNC,
        "check_gathered_calls_give_their_results": _NO_ASYNC,
        "check_an_endless_await_is_ended": _NO_ASYNC,
        "check_calls_from_threads_run_at_once": "the subset has no threads",
        "check_a_thread_that_outlives_its_cell_does_no_harm": "the subset has no threads",
        "check_an_endless_loop_is_ended": _NO_WHILE,
        "check_a_loop_of_quick_calls_is_ended": _NO_WHILE,
        "check_a_timeout_loses_nothing_or_says_so": _NO_WHILE,
        "check_a_timeout_cannot_be_swallowed": _NO_WHILE,
        "check_a_finally_loop_is_ended": _NO_WHILE,
        "check_the_limit_is_per_cell": _NO_WHILE,
        "check_a_looping_cell_can_be_cancelled": _NO_WHILE,
    },
    "wasm": {
        "check_calls_from_threads_run_at_once": _NO_WASM_THREADS,
        "check_a_thread_that_outlives_its_cell_does_no_harm": _NO_WASM_THREADS,
    },
}
