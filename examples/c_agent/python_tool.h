/* A persistent, sandboxed Python interpreter as a tool of an agent in C.
 *
 * The interpreter is the program `rlmbox tool`, a child process that answers one line of JSON with another. This client
 * needs nothing beyond POSIX and libc. It serves one thread; a lock around it serves several.
 *
 *     if (python_interpreter_init(NULL) != 0)
 *         fprintf(stderr, "Warning: %s\n", python_interpreter_error());   // the agent goes on without it
 *     register_python_tool(&registry);
 *     ...
 *     execute_python_tool_call(&call, &result);
 *     ...
 *     cleanup_tool_result(&result);
 *     python_interpreter_shutdown();
 */
#ifndef PYTHON_TOOL_H
#define PYTHON_TOOL_H

#include <stddef.h>
#include <sys/types.h>

#define PYTHON_MAX_CODE_SIZE (1024 * 1024)  /* bytes; more is refused */
#define PYTHON_DEFAULT_TIMEOUT 30           /* seconds */
#define PYTHON_MAX_OUTPUT_SIZE (512 * 1024) /* bytes of each stream; more is cut, with a note */

/* The agent's side, as small as it can be. */

#define TOOL_REGISTRY_SIZE 32

typedef struct {
    const char *name;
    const char *description;
    const char *parameters; /* a JSON Schema */
} ToolFunction;

typedef struct {
    ToolFunction functions[TOOL_REGISTRY_SIZE];
    int count;
} ToolRegistry;

typedef struct {
    const char *id;
    const char *name;
    const char *arguments; /* JSON, as the model sent it */
} ToolCall;

typedef struct {
    char *tool_call_id; /* a copy of the call's; NULL where it has none */
    char *result;       /* JSON for the model; NULL only where memory ran out */
    int success;
} ToolResult;

/* Python's side. */

typedef struct {
    char *code;
    double timeout_seconds; /* 0 or less is the default */
    int capture_stderr;     /* 0 leaves stderr_output empty */
} PythonExecutionParams;

typedef struct {
    char *stdout_output; /* UTF-8, ends with a NUL; may have others in it, see the size */
    size_t stdout_size;
    char *stderr_output; /* NULL where it was not captured */
    size_t stderr_size;
    char *exception; /* NULL where the code ran to its end */
    int success;
    double execution_time; /* seconds */
    int timed_out;
} PythonExecutionResult;

/* Start the interpreter with a command, a list that ends with NULL, or with `rlmbox tool` for NULL. Returns 0, or -1
 * where it cannot be started, which python_interpreter_error() explains. Calls made all the same try to start it. */
int python_interpreter_init(const char *const command[]);

/* Why the interpreter could not be started; an empty text where it could. */
const char *python_interpreter_error(void);

/* The interpreter's process; -1 where there is none. */
pid_t python_interpreter_pid(void);

/* End the interpreter; may be called again, or without a start. */
void python_interpreter_shutdown(void);

/* Add the tool to a registry; returns 0, or -1 where it is full or has a tool of that name. */
int register_python_tool(ToolRegistry *registry);

/* Carry out a call of a model's. The result is JSON with stdout, stderr, exception, success, execution_time and
 * timed_out, whatever the arguments are. Returns 0 where the code ran to its end, else -1. */
int execute_python_tool_call(const ToolCall *call, ToolResult *result);

/* Run code. Returns 0 where it ran to its end, else -1 and the reason in result->exception. */
int python_execute(const PythonExecutionParams *params, PythonExecutionResult *result);

/* Read a model's arguments. Returns 0, or -1 and the reason in *error, which is to be freed; params is then empty. */
int python_params_from_json(const char *arguments, PythonExecutionParams *params, char **error);

void cleanup_python_params(PythonExecutionParams *params);
void cleanup_python_result(PythonExecutionResult *result);
void cleanup_tool_result(ToolResult *result);

#endif
