"""What a backend does not meet of the contract, and why; a gap that closes fails its test until it is taken out."""

_NO_WALL = "a plain child process has no wall; it is for development only"
_NO_INHERITANCE = "Monty's classes cannot have bases"
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
        "check_a_class_can_inherit": _NO_INHERITANCE,
        "check_an_exception_of_a_cells_own_class_keeps_its_name": _NO_INHERITANCE,
        "check_generators_work": "Monty has no yield",
        "check_calls_from_threads_run_at_once": _NO_THREADS,
        "check_a_thread_that_outlives_its_cell_does_no_harm": _NO_THREADS,
    },
    "wasm": {
        "check_calls_from_threads_run_at_once": _NO_WASM_THREADS,
        "check_a_thread_that_outlives_its_cell_does_no_harm": _NO_WASM_THREADS,
    },
}
