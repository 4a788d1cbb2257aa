/* Drives the Python tool as an agent would: test_python_tool COMMAND [ARGUMENT...], such as rlmbox tool. */
#define _POSIX_C_SOURCE 200809L

#include "python_tool.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const *command;
static const char *test_name = "";
static int failures;

#define CHECK(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            printf("FAIL %s, line %d: %s\n", test_name, __LINE__, #condition);         \
            failures++;                                                                \
        }                                                                              \
    } while (0)

/* Call the tool as a model does. */
static ToolResult called(const char *arguments) {
    ToolCall call = {.id = "call-1", .name = "python", .arguments = arguments};
    ToolResult result;
    int code = execute_python_tool_call(&call, &result);
    CHECK((code == 0) == (result.success == 1));
    CHECK(result.tool_call_id != NULL && strcmp(result.tool_call_id, "call-1") == 0);
    CHECK(result.result != NULL);
    return result;
}

static int has(const ToolResult *result, const char *text) {
    return result->result != NULL && strstr(result->result, text) != NULL;
}

/* Check what a call gives: whether it succeeds, and a text that is in its result. */
static void check_call(const char *arguments, int success, const char *text) {
    ToolResult result = called(arguments);
    if (result.success != success || !has(&result, text))
        printf("%s gave %s\n", arguments == NULL ? "NULL" : arguments, result.result);
    CHECK(result.success == success);
    CHECK(has(&result, text));
    cleanup_tool_result(&result);
}

static PythonExecutionResult executed(char *code, double timeout_seconds, int capture_stderr) {
    PythonExecutionParams params = {code, timeout_seconds, capture_stderr};
    PythonExecutionResult result;
    int status = python_execute(&params, &result);
    CHECK((status == 0) == (result.success == 1));
    CHECK((result.exception == NULL) == (result.success == 1));
    CHECK(result.stdout_output != NULL);
    return result;
}

static void test_registration(void) {
    ToolRegistry registry = {0};
    CHECK(register_python_tool(&registry) == 0);
    CHECK(registry.count == 1);
    CHECK(strcmp(registry.functions[0].name, "python") == 0);
    CHECK(strstr(registry.functions[0].parameters, "\"required\": [\"code\"]") != NULL);
    CHECK(register_python_tool(&registry) == -1); /* once is enough */
    registry.count = TOOL_REGISTRY_SIZE;
    for (int i = 0; i < TOOL_REGISTRY_SIZE; i++) registry.functions[i].name = "other";
    CHECK(register_python_tool(&registry) == -1);
}

static void test_execution(void) {
    check_call("{\"code\": \"print(1 + 1)\"}", 1, "\"stdout\": \"2\\n\"");
    PythonExecutionResult result = executed("print(6 * 7)", 0, 1);
    CHECK(strcmp(result.stdout_output, "42\n") == 0 && result.stdout_size == 3);
    CHECK(result.stderr_output != NULL && result.stderr_output[0] == '\0');
    CHECK(result.execution_time > 0 && result.execution_time < 30);
    CHECK(!result.timed_out);
    cleanup_python_result(&result);
    cleanup_python_result(&result); /* harmless */
}

static void test_persistence(void) {
    check_call("{\"code\": \"x = 42\\nimport math\\ndef twice(n):\\n    return 2 * n\"}", 1, "\"success\": true");
    check_call("{\"code\": \"print(twice(x), math.floor(2.5))\"}", 1, "\"stdout\": \"84 2\\n\"");
}

static void test_timeout(void) {
    check_call("{\"code\": \"kept = 5\\nwhile True: y = 1\", \"timeout\": 0.5}", 0, "\"timed_out\": true");
    check_call("{\"code\": \"print(kept)\"}", 1, "\"stdout\": \"5\\n\"");
    PythonExecutionResult result = executed(
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: y = 1", 0.5, 1);
    CHECK(result.timed_out && !result.success);
    CHECK(result.exception != NULL && strstr(result.exception, "lost") != NULL);
    cleanup_python_result(&result);
    check_call("{\"code\": \"print('kept' in globals())\"}", 1, "\"stdout\": \"False\\n\"");
}

static void test_exception(void) {
    check_call("{\"code\": \"raise ValueError('test error')\"}", 0, "ValueError: test error");
    check_call("{\"code\": \"def f(:\"}", 0, "SyntaxError");
    check_call("{\"code\": \"exit()\"}", 0, "SystemExit");
    PythonExecutionResult result = executed("print('before')\n1 / 0", 0, 1);
    CHECK(strcmp(result.stdout_output, "before\n") == 0);
    CHECK(result.exception != NULL && strcmp(result.exception, "ZeroDivisionError: division by zero") == 0);
    CHECK(result.stderr_output != NULL && strstr(result.stderr_output, "line 2") != NULL);
    cleanup_python_result(&result);
}

static void test_capture_stderr(void) {
    char code[] = "import sys\nprint('out')\nprint('err', file=sys.stderr)";
    PythonExecutionResult result = executed(code, 0, 1);
    CHECK(result.stderr_output != NULL && strcmp(result.stderr_output, "err\n") == 0 && result.stderr_size == 4);
    cleanup_python_result(&result);
    result = executed(code, 0, 0);
    CHECK(result.stderr_output == NULL && result.stderr_size == 0);
    CHECK(strcmp(result.stdout_output, "out\n") == 0);
    cleanup_python_result(&result);
}

static void test_standard_library(void) {
    check_call("{\"code\": \"import json; print(json.dumps({'a': 1}))\"}", 1, "{\\\"a\\\": 1}");
    check_call("{\"code\": \"import statistics, datetime, collections; print(statistics.mean([1, 3]))\"}", 1, "2");
}

static void test_malformed_input(void) {
    static const struct {
        const char *arguments, *reason;
    } cases[] = {
        {NULL, "JSON object"},
        {"", "JSON object"},
        {"garbage", "JSON object"},
        {"[]", "JSON object"},
        {"{", "a string was expected"},
        {"{}", "code is missing"},
        {"{\"code\"}", ": was expected"},
        {"{\"code\": }", "value was expected"},
        {"{\"code\": \"1\"", "no end"},
        {"{\"code\": \"1", "no end"},
        {"{\"code\": \"1\\", "escape"},
        {"{\"code\": \"\\q\"}", "escape"},
        {"{\"code\": \"\\u12g4\"}", "hexadecimal"},
        {"{\"code\": \"a\nb\"}", "control character"},
        {"{\"code\": \"1\"} {}", "something follows"},
        {"{\"code\": 5}", "code is a string"},
        {"{\"code\": null}", "code is a string"},
        {"{\"code\": [\"print(1)\"]}", "code is a string"},
        {"{\"code\": \"1\", \"timeout\": -1}", "above 0"},
        {"{\"code\": \"1\", \"timeout\": 0}", "above 0"},
        {"{\"code\": \"1\", \"timeout\": \"5\"}", "timeout is a number"},
        {"{\"code\": \"1\", \"timeout\": true}", "timeout is a number"},
        {"{\"code\": \"1\", \"timeout\": 1e999}", "timeout"},
        {"{\"code\": \"1\", \"timeout\": 1e5}", "at most"},
        {"{\"code\": \"1\", \"timeout\": 01}", "value was expected"},
        {"{\"code\": \"1\", \"timeout\": 1.}", "digit after its point"},
        {"{\"code\": \"1\", \"language\": {\"a\": [1, true, null]}}", "no argument"},
        {"{\"code\": \"a\\u0000b\"}", "NUL"},
        {"{\"code\": \"print('\xff')\"}", "UTF-8"},
        {"{\"x\": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]", "deeply"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_call(cases[i].arguments, 0, cases[i].reason);
    check_call(" {\n\"timeout\" : null ,\t\"code\" : \"print('alive')\" } ", 1, "alive");
}

static void test_code_at_and_above_its_limit(void) {
    char *code = malloc(PYTHON_MAX_CODE_SIZE + 2);
    if (code == NULL) return;
    memset(code, '#', PYTHON_MAX_CODE_SIZE + 1);
    memcpy(code, "print(7)\n", 9);
    code[PYTHON_MAX_CODE_SIZE + 1] = '\0';
    PythonExecutionResult result = executed(code, 0, 1);
    CHECK(result.exception != NULL && strstr(result.exception, "at most 1048576 bytes") != NULL);
    cleanup_python_result(&result);
    code[PYTHON_MAX_CODE_SIZE] = '\0';
    result = executed(code, 0, 1);
    CHECK(strcmp(result.stdout_output, "7\n") == 0);
    cleanup_python_result(&result);
    free(code);
}

static void test_a_worker_that_dies(void) {
    check_call("{\"code\": \"gone = 1\"}", 1, "true");
    check_call("{\"code\": \"import os; os._exit(3)\"}", 0, "lost");
    check_call("{\"code\": \"print('gone' in globals())\"}", 1, "False");
}

static void test_restart_after_death(void) {
    pid_t before = python_interpreter_pid();
    CHECK(before > 0);
    kill(before, SIGKILL);
    check_call("{\"code\": \"print(1)\"}", 0, "the Python interpreter is gone");
    CHECK(python_interpreter_pid() == -1);
    check_call("{\"code\": \"print('again')\"}", 1, "again");
    CHECK(python_interpreter_pid() > 0 && python_interpreter_pid() != before);
}

static void test_output_at_the_cap(void) {
    PythonExecutionResult result = executed("print('x' * 2_000_000)", 0, 1);
    CHECK(result.success);
    CHECK(result.stdout_size <= PYTHON_MAX_OUTPUT_SIZE && result.stdout_size > PYTHON_MAX_OUTPUT_SIZE - 1024);
    CHECK(strstr(result.stdout_output, "dropped") != NULL || strstr(result.stdout_output, "cut") != NULL);
    cleanup_python_result(&result);
    result = executed("import sys\nprint('\\0' * 300_000, end='')\nprint('\\1' * 300_000, file=sys.stderr)", 0, 1);
    CHECK(result.stdout_size == 300000 && result.stdout_output[299999] == '\0');
    CHECK(result.stderr_size == 300001);
    cleanup_python_result(&result);
}

static void test_utf8(void) {
    PythonExecutionResult result = executed("s = 'h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80'\nprint(s, len(s))", 0, 1);
    CHECK(strcmp(result.stdout_output, "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 6\n") == 0);
    cleanup_python_result(&result);
    result = executed("print('\\ud800', '\\u2028', '\\\\', '\"', '\\t')", 0, 1);
    CHECK(result.stdout_output[result.stdout_size - 1] == '\n');
    CHECK(strstr(result.stdout_output, " \xe2\x80\xa8 \\ \" \t\n") != NULL);
    cleanup_python_result(&result);
    check_call("{\"code\": \"print(len('\\ud83d\\ude00 \\u00e9'))\"}", 1, "\"stdout\": \"3\\n\"");
}

static int open_files(void) {
    int count = 0;
    for (int fd = 0; fd < 256; fd++) {
        int copy = dup(fd);
        if (copy >= 0) {
            count++;
            close(copy);
        }
    }
    return count;
}

static void test_1000_calls(void) {
    int before = open_files();
    check_call("{\"code\": \"total = 0\"}", 1, "true");
    for (int i = 0; i < 1000; i++) {
        ToolResult result = called("{\"code\": \"total += 1\"}");
        if (!result.success) CHECK(result.success);
        cleanup_tool_result(&result);
    }
    check_call("{\"code\": \"print(total)\"}", 1, "\"stdout\": \"1000\\n\"");
    CHECK(open_files() == before);
}

static void test_another_locale(void) {
    if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL && setlocale(LC_ALL, "fr_FR.UTF-8") == NULL) return;
    check_call("{\"code\": \"print(1.5)\", \"timeout\": 2.5}", 1, "1.5");
    setlocale(LC_ALL, "C");
}

static void test_a_failed_start_is_a_warning(void) {
    const char *const nothing[] = {"/nowhere/rlmbox", "tool", NULL};
    const char *const ends[] = {"false", NULL};
    CHECK(python_interpreter_init(nothing) == -1);
    CHECK(strstr(python_interpreter_error(), "/nowhere/rlmbox: No such file") != NULL);
    check_call("{\"code\": \"print(1)\"}", 0, "cannot start");
    CHECK(python_interpreter_init(ends) == -1);
    CHECK(python_interpreter_error()[0] != '\0');
    check_call("{\"code\": \"print(1)\"}", 0, "Python interpreter");
    CHECK(python_interpreter_init(command) == 0); /* and the agent has gone on */
    CHECK(python_interpreter_error()[0] == '\0');
    check_call("{\"code\": \"print('here')\"}", 1, "here");
}

static void test_shutdown(void) {
    python_interpreter_shutdown();
    python_interpreter_shutdown();
    CHECK(python_interpreter_pid() == -1);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1); /* no child is left, not even a dead one */
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        {"registration", test_registration},
        {"execution", test_execution},
        {"persistence", test_persistence},
        {"timeout", test_timeout},
        {"exception", test_exception},
        {"capture_stderr", test_capture_stderr},
        {"standard library", test_standard_library},
        {"malformed input", test_malformed_input},
        {"code at and above its limit", test_code_at_and_above_its_limit},
        {"a worker that dies", test_a_worker_that_dies},
        {"restart after death", test_restart_after_death},
        {"output at the cap", test_output_at_the_cap},
        {"UTF-8", test_utf8},
        {"1,000 calls", test_1000_calls},
        {"another locale", test_another_locale},
        {"a failed start is a warning", test_a_failed_start_is_a_warning},
        {"shutdown", test_shutdown},
    };
    if (argc < 2) {
        fprintf(stderr, "usage: %s COMMAND [ARGUMENT...], such as rlmbox tool\n", argv[0]);
        return 2;
    }
    command = (const char *const *)(argv + 1);
    if (python_interpreter_init(command) != 0) fprintf(stderr, "Warning: %s\n", python_interpreter_error());
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        int before = failures;
        test_name = tests[i].name;
        tests[i].run();
        printf("%s %s\n", failures == before ? "ok  " : "FAIL", test_name);
        fflush(stdout);
    }
    printf("%d failures\n", failures);
    return failures != 0;
}
