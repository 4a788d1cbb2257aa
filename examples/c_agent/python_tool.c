/* See python_tool.h. In order: text that grows, JSON, the child process, the tool. */
#define _POSIX_C_SOURCE 200809L

#include "python_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* where there is none, SIGPIPE is the agent's to ignore */
#endif

#define MAX_ANSWER_SIZE (16 * 1024 * 1024)
#define MAX_DEPTH 64
#define MAX_TIMEOUT 1e6   /* seconds; what the interpreter allows is less, and it says so itself */
#define START_SECONDS 60  /* that a start may take */
#define GRACE_SECONDS 15  /* beyond a call's timeout, for the interpreter to end the code and to answer */
#define ENDING_SECONDS 5  /* that the interpreter has to end by itself */
#define SENDING_SECONDS 30 /* that the interpreter may leave a request unread */
#define RECEIVE_SIZE 65536

static const char TOOL_NAME[] = "python";
static const char TOOL_DESCRIPTION[] =
    "Execute Python code in a persistent interpreter. Variables, imports, and function definitions persist across "
    "calls. Use for calculations, data processing, and scripting tasks.";
static const char TOOL_PARAMETERS[] =
    "{\"type\": \"object\", \"properties\": {"
    "\"code\": {\"type\": \"string\", \"description\": "
    "\"Python code to execute. Can be multiple lines. Variables persist between calls.\"}, "
    "\"timeout\": {\"type\": \"number\", \"description\": \"Maximum execution time in seconds. Default: 30\"}}, "
    "\"required\": [\"code\"]}";
static const char *const DEFAULT_COMMAND[] = {"rlmbox", "tool", NULL};

/* ---- Text that grows ---- */

typedef struct {
    char *data;
    size_t size, room;
    int failed; /* memory ran out; what is added later is ignored */
} Text;

static void text_free(Text *text) {
    free(text->data);
    *text = (Text){0};
}

static void text_add(Text *text, const char *data, size_t size) {
    if (text->failed) return;
    if (text->room - text->size <= size) { /* one more, for the NUL */
        size_t room = (text->size + size + 64) * 2;
        char *grown = realloc(text->data, room);
        if (grown == NULL) {
            text->failed = 1;
            return;
        }
        text->data = grown;
        text->room = room;
    }
    if (size > 0) memcpy(text->data + text->size, data, size);
    text->size += size;
    text->data[text->size] = '\0';
}

static void text_puts(Text *text, const char *string) { text_add(text, string, strlen(string)); }

static char *formatted(const char *format, ...) {
    char buffer[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    return strdup(buffer);
}

/* Add a JSON string. Bytes above 127 are left as they are: what is no UTF-8 the interpreter refuses with a reason. */
static void text_add_json(Text *text, const char *string) {
    text_puts(text, "\"");
    for (const char *at = string; *at != '\0';) {
        size_t plain = 0;
        while ((unsigned char)at[plain] >= 0x20 && at[plain] != '"' && at[plain] != '\\') plain++;
        text_add(text, at, plain);
        at += plain;
        if (*at == '\0') break;
        char escape[8];
        if (*at == '"' || *at == '\\')
            snprintf(escape, sizeof escape, "\\%c", *at);
        else
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)*at);
        text_puts(text, escape);
        at++;
    }
    text_puts(text, "\"");
}

/* ---- JSON ---- */

typedef struct {
    const char *at;
    const char *error; /* NULL while all is well */
} Json;

static int json_fail(Json *json, const char *error) {
    if (json->error == NULL) json->error = error;
    return 0;
}

static void json_space(Json *json) {
    while (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r') json->at++;
}

static int json_take(Json *json, char wanted) {
    json_space(json);
    if (*json->at != wanted) return 0;
    json->at++;
    return 1;
}

static int json_word(Json *json, const char *word) {
    size_t size = strlen(word);
    if (strncmp(json->at, word, size) != 0) return 0;
    json->at += size;
    return 1;
}

static int json_hex(Json *json, unsigned *value) {
    *value = 0;
    for (int digit = 0; digit < 4; digit++, json->at++) {
        char c = *json->at;
        unsigned number = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                          : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                          : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                 : 16;
        if (number == 16) return json_fail(json, "a \\u escape has four hexadecimal digits");
        *value = *value << 4 | number;
    }
    return 1;
}

static void text_add_character(Text *text, unsigned c) {
    char bytes[4];
    size_t size;
    if (c < 0x80) {
        bytes[0] = (char)c;
        size = 1;
    } else if (c < 0x800) {
        bytes[0] = (char)(0xC0 | c >> 6);
        bytes[1] = (char)(0x80 | (c & 0x3F));
        size = 2;
    } else if (c < 0x10000) {
        bytes[0] = (char)(0xE0 | c >> 12);
        bytes[1] = (char)(0x80 | (c >> 6 & 0x3F));
        bytes[2] = (char)(0x80 | (c & 0x3F));
        size = 3;
    } else {
        bytes[0] = (char)(0xF0 | c >> 18);
        bytes[1] = (char)(0x80 | (c >> 12 & 0x3F));
        bytes[2] = (char)(0x80 | (c >> 6 & 0x3F));
        bytes[3] = (char)(0x80 | (c & 0x3F));
        size = 4;
    }
    text_add(text, bytes, size);
}

static int json_unicode(Json *json, Text *text) {
    unsigned c, low;
    if (!json_hex(json, &c)) return 0;
    if (c >= 0xD800 && c < 0xDC00 && json->at[0] == '\\' && json->at[1] == 'u') {
        const char *before = json->at;
        json->at += 2;
        if (!json_hex(json, &low)) return 0;
        if (low >= 0xDC00 && low < 0xE000)
            c = 0x10000 + ((c - 0xD800) << 10 | (low - 0xDC00));
        else
            json->at = before;
    }
    text_add_character(text, c >= 0xD800 && c < 0xE000 ? 0xFFFD : c); /* half a pair is no character */
    return 1;
}

static int json_escape(Json *json, Text *text) {
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char c = *json->at++;
    if (c == 'u') return json_unicode(json, text);
    const char *found = c == '\0' ? NULL : strchr(names, c);
    if (found == NULL) {
        json->at--; /* the NUL, perhaps */
        return json_fail(json, "there is no such escape in a JSON string");
    }
    text_add(text, &meant[found - names], 1);
    return 1;
}

/* Read a string; text may be NULL to only pass it. */
static int json_string(Json *json, Text *text) {
    Text unused = {0};
    Text *to = text == NULL ? &unused : text;
    int ok = json_take(json, '"') || json_fail(json, "a string was expected");
    while (ok && *json->at != '"') {
        size_t plain = 0;
        while ((unsigned char)json->at[plain] >= 0x20 && json->at[plain] != '"' && json->at[plain] != '\\') plain++;
        text_add(to, json->at, plain);
        json->at += plain;
        if (*json->at == '\\') {
            json->at++;
            ok = json_escape(json, to);
        } else if (*json->at != '"') {
            ok = json_fail(json, *json->at == '\0' ? "a string has no end" : "a control character is not escaped");
        }
    }
    if (ok) {
        json->at++;
        text_add(to, "", 0); /* so that an empty string is one, and not NULL */
        if (to->failed) ok = json_fail(json, "out of memory");
    }
    text_free(&unused);
    return ok;
}

static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* Read a number. strtod would want the decimal point of the agent's locale. */
static int json_number(Json *json, double *value) {
    const char *at = json->at;
    int negative = *at == '-', exponent = 0, given = 0, down = 0;
    double number = 0;
    at += negative;
    if (!is_digit(*at) || (at[0] == '0' && is_digit(at[1]))) return json_fail(json, "a value was expected");
    while (is_digit(*at)) number = number * 10 + (*at++ - '0');
    if (*at == '.') {
        at++;
        if (!is_digit(*at)) return json_fail(json, "a number has a digit after its point");
        for (; is_digit(*at); exponent--) number = number * 10 + (*at++ - '0');
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        down = *at == '-';
        at += *at == '-' || *at == '+';
        if (!is_digit(*at)) return json_fail(json, "a number has a digit in its exponent");
        for (; is_digit(*at); at++)
            if (given < 10000) given = given * 10 + (*at - '0');
    }
    exponent += down ? -given : given;
    for (; exponent > 0 && number < HUGE_VAL && number > 0; exponent--) number *= 10;
    for (; exponent < 0 && number > 0; exponent++) number /= 10;
    json->at = at;
    *value = negative ? -number : number;
    return 1;
}

/* Pass a value of any kind. */
static int json_pass(Json *json, int depth) {
    double number;
    if (depth > MAX_DEPTH) return json_fail(json, "it is nested too deeply");
    json_space(json);
    if (*json->at == '"') return json_string(json, NULL);
    if (json_word(json, "true") || json_word(json, "false") || json_word(json, "null")) return 1;
    if (*json->at != '{' && *json->at != '[') return json_number(json, &number);
    char end = *json->at++ == '{' ? '}' : ']';
    if (json_take(json, end)) return 1;
    do {
        if (end == '}' && !(json_string(json, NULL) && (json_take(json, ':') || json_fail(json, "a : was expected"))))
            return 0;
        if (!json_pass(json, depth + 1)) return 0;
    } while (json_take(json, ','));
    return json_take(json, end) || json_fail(json, "an object or array has no end");
}

/* Read an object's members with a function that takes each value; nothing may follow it. */
static int json_object(Json *json, int (*member)(Json *, const char *name, void *into), void *into) {
    if (!json_take(json, '{')) return json_fail(json, "a JSON object was expected");
    int ok = 1;
    if (!json_take(json, '}')) {
        do {
            Text name = {0};
            ok = json_string(json, &name) && (json_take(json, ':') || json_fail(json, "a : was expected"));
            if (ok) {
                json_space(json);
                ok = member(json, name.data, into);
            }
            text_free(&name);
        } while (ok && json_take(json, ','));
        ok = ok && (json_take(json, '}') || json_fail(json, "an object has no end"));
    }
    json_space(json);
    return ok && (*json->at == '\0' || json_fail(json, "something follows the object"));
}

/* ---- The child process ---- */

static struct {
    char **command;
    pid_t pid;
    int wire; /* both its standard input and its standard output */
    Text received;
    char error[512];
} interpreter = {NULL, -1, -1, {0}, ""};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int wait_ms(double until) {
    double left = (until - now()) * 1000;
    return left <= 0 ? 0 : left > 1e9 ? 1000000000 : (int)left + 1;
}

/* Wait for the process's end; returns whether it has come. */
static int reaped(double until) {
    struct timespec pause = {0, 5000000};
    while (waitpid(interpreter.pid, NULL, WNOHANG) == 0) {
        if (now() >= until) return 0;
        nanosleep(&pause, NULL);
    }
    return 1;
}

static void stop(double patience) {
    if (interpreter.wire >= 0) {
        shutdown(interpreter.wire, SHUT_WR); /* the end of its input */
        if (patience <= 0 || !reaped(now() + patience)) {
            kill(interpreter.pid, SIGTERM);
            if (!reaped(now() + ENDING_SECONDS)) {
                kill(interpreter.pid, SIGKILL);
                waitpid(interpreter.pid, NULL, 0);
            }
        }
        close(interpreter.wire);
    }
    interpreter.pid = interpreter.wire = -1;
    text_free(&interpreter.received);
}

static int start_failed(const char *what, int code) {
    snprintf(interpreter.error, sizeof interpreter.error, "the Python interpreter cannot start: %s%s%s", what,
             code ? ": " : "", code ? strerror(code) : "");
    return -1;
}

static void in_child(int wire, int report) {
    if (dup2(wire, 0) >= 0 && dup2(wire, 1) >= 0) execvp(interpreter.command[0], interpreter.command);
    int code = errno;
    ssize_t told = write(report, &code, sizeof code);
    _exit(told == (ssize_t)sizeof code ? 127 : 126);
}

/* Start the process. An end of the pipe `report` that closes without a word means that the program runs. */
static int launch(void) {
    int wires[2], report[2], code = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, wires) != 0) return start_failed("no socket", errno);
    if (pipe(report) != 0) {
        code = errno;
        close(wires[0]);
        close(wires[1]);
        return start_failed("no pipe", code);
    }
    struct timeval patience = {SENDING_SECONDS, 0};
    setsockopt(wires[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    fcntl(wires[0], F_SETFD, FD_CLOEXEC);
    fcntl(wires[1], F_SETFD, FD_CLOEXEC);
    fcntl(report[1], F_SETFD, FD_CLOEXEC);
    fcntl(report[0], F_SETFD, FD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0) in_child(wires[1], report[1]);
    int forked = errno;
    close(wires[1]);
    close(report[1]);
    ssize_t told = 0;
    if (pid > 0) do
            told = read(report[0], &code, sizeof code);
        while (told < 0 && errno == EINTR);
    close(report[0]);
    if (pid < 0 || told == (ssize_t)sizeof code) {
        close(wires[0]);
        if (pid < 0) return start_failed("no process", forked);
        waitpid(pid, NULL, 0);
        return start_failed(interpreter.command[0], code);
    }
    interpreter.pid = pid;
    interpreter.wire = wires[0];
    interpreter.error[0] = '\0';
    return 0;
}

static int send_all(const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = send(interpreter.wire, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return -1;
        data += sent;
        size -= (size_t)sent;
    }
    return 0;
}

/* Wait for a line; returns it without its end, to be freed, or NULL and what went wrong. */
static char *receive_line(double until, const char **error) {
    Text *received = &interpreter.received;
    size_t seen = 0;
    char buffer[RECEIVE_SIZE];
    for (;;) {
        char *end = received->size > seen ? memchr(received->data + seen, '\n', received->size - seen) : NULL;
        if (end != NULL) {
            size_t size = (size_t)(end - received->data);
            char *line = malloc(size + 1);
            *error = "out of memory";
            if (line == NULL) return NULL;
            memcpy(line, received->data, size);
            line[size] = '\0';
            received->size -= size + 1;
            memmove(received->data, end + 1, received->size);
            return line;
        }
        seen = received->size;
        if (received->failed || received->size > MAX_ANSWER_SIZE) {
            *error = "its answer was too long";
            return NULL;
        }
        struct pollfd ready = {interpreter.wire, POLLIN, 0};
        int found = poll(&ready, 1, wait_ms(until));
        if (found < 0 && errno == EINTR) continue;
        if (found == 0) {
            *error = "it did not answer in time and was ended";
            return NULL;
        }
        ssize_t size = recv(interpreter.wire, buffer, sizeof buffer, 0);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) {
            *error = "it ended";
            return NULL;
        }
        text_add(received, buffer, (size_t)size);
    }
}

/* ---- The tool ---- */

static int result_member(Json *json, const char *name, void *into) {
    PythonExecutionResult *result = into;
    Text text = {0};
    char **place = strcmp(name, "stdout") == 0      ? &result->stdout_output
                   : strcmp(name, "stderr") == 0    ? &result->stderr_output
                   : strcmp(name, "exception") == 0 ? &result->exception
                                                    : NULL;
    if (place != NULL && *json->at == '"') {
        if (!json_string(json, &text)) {
            text_free(&text);
            return 0;
        }
        free(*place);
        *place = text.data;
        if (place == &result->stdout_output) result->stdout_size = text.size;
        if (place == &result->stderr_output) result->stderr_size = text.size;
        return 1;
    }
    if (strcmp(name, "execution_time") == 0) return json_number(json, &result->execution_time);
    int *flag = strcmp(name, "success") == 0     ? &result->success
                : strcmp(name, "timed_out") == 0 ? &result->timed_out
                                                 : NULL;
    if (flag != NULL) *flag = strncmp(json->at, "true", 4) == 0;
    return json_pass(json, 0);
}

static int failed(PythonExecutionResult *result, char *reason) {
    cleanup_python_result(result);
    result->stdout_output = strdup("");
    result->exception = reason;
    return -1;
}

/* Send a request, and return the line that answers it, to be freed, or NULL and the reason, to be freed as well. */
static char *exchange(const char *code, double timeout, char **reason) {
    if (interpreter.wire < 0 && (interpreter.command == NULL ? python_interpreter_init(NULL) : launch()) != 0) {
        *reason = strdup(interpreter.error);
        return NULL;
    }
    Text request = {0};
    char seconds[64];
    /* Without a decimal point of printf's, which would be the locale's. */
    long long milliseconds = (long long)(timeout * 1000);
    snprintf(seconds, sizeof seconds, "%lld.%03lld", milliseconds / 1000, milliseconds % 1000);
    text_puts(&request, "{\"code\": ");
    text_add_json(&request, code);
    text_puts(&request, ", \"timeout\": ");
    text_puts(&request, seconds);
    text_puts(&request, "}\n");
    const char *error = "out of memory";
    char *line = NULL;
    if (!request.failed) {
        error = "it ended";
        if (send_all(request.data, request.size) == 0) line = receive_line(now() + timeout + GRACE_SECONDS, &error);
        if (line == NULL) stop(0);
    }
    text_free(&request);
    if (line == NULL)
        *reason = formatted("the Python interpreter is gone: %s; variables, imports and functions of earlier calls are "
                            "lost, and the next call starts a new one",
                            error);
    return line;
}

static double timeout_of(const PythonExecutionParams *params) {
    return params->timeout_seconds > 0 ? params->timeout_seconds : PYTHON_DEFAULT_TIMEOUT;
}

/* Say what keeps a call from being sent; NULL where nothing does. */
static char *refusal(const PythonExecutionParams *params) {
    if (params->code == NULL) return strdup("there is no code");
    if (strlen(params->code) > PYTHON_MAX_CODE_SIZE)
        return formatted("code may have at most %d bytes: run it in parts", PYTHON_MAX_CODE_SIZE);
    if (!(timeout_of(params) >= 0.001 && timeout_of(params) <= MAX_TIMEOUT))
        return strdup("the timeout is a number of seconds, a thousandth at least");
    return NULL;
}

int python_execute(const PythonExecutionParams *params, PythonExecutionResult *result) {
    *result = (PythonExecutionResult){0};
    char *reason = refusal(params);
    if (reason != NULL) return failed(result, reason);
    char *line = exchange(params->code, timeout_of(params), &reason);
    if (line == NULL) return failed(result, reason);
    Json json = {line, NULL};
    int ok = json_object(&json, result_member, result) && result->stdout_output != NULL;
    free(line);
    if (!ok) {
        stop(0);
        return failed(result, formatted("the Python interpreter answered what is no result: %s",
                                        json.error == NULL ? "it has no stdout" : json.error));
    }
    if (!params->capture_stderr) {
        free(result->stderr_output);
        result->stderr_output = NULL;
        result->stderr_size = 0;
    }
    return result->success ? 0 : -1;
}

typedef struct {
    PythonExecutionParams *params;
    char *error; /* what is wrong with the arguments, where they are JSON */
} Arguments;

static int arguments_member(Json *json, const char *name, void *into) {
    Arguments *arguments = into;
    PythonExecutionParams *params = arguments->params;
    if (strcmp(name, "code") == 0 && *json->at == '"') {
        Text code = {0};
        if (!json_string(json, &code)) {
            text_free(&code);
            return 0;
        }
        free(params->code);
        params->code = code.data;
        if (strlen(code.data) != code.size && arguments->error == NULL)
            arguments->error = strdup("code may have no NUL character");
        return 1;
    }
    if (strcmp(name, "timeout") == 0 && (*json->at == '-' || is_digit(*json->at))) {
        if (!json_number(json, &params->timeout_seconds)) return 0;
        if (!(params->timeout_seconds > 0) && arguments->error == NULL)
            arguments->error = strdup("timeout is a number of seconds above 0");
        return 1;
    }
    int is_absent = strcmp(name, "timeout") == 0 && strncmp(json->at, "null", 4) == 0;
    if (!is_absent && arguments->error == NULL)
        arguments->error = strcmp(name, "code") == 0      ? strdup("code is a string with Python code")
                           : strcmp(name, "timeout") == 0 ? strdup("timeout is a number of seconds")
                                                          : formatted("there is no argument \"%.80s\"; there are code "
                                                                      "and timeout",
                                                                      name);
    return json_pass(json, 0);
}

int python_params_from_json(const char *arguments, PythonExecutionParams *params, char **error) {
    *params = (PythonExecutionParams){.capture_stderr = 1};
    *error = NULL;
    Arguments found = {params, NULL};
    Json json = {arguments == NULL ? "" : arguments, NULL};
    if (!json_object(&json, arguments_member, &found)) {
        free(found.error);
        found.error = formatted("the arguments are no JSON object with code: %s", json.error);
    } else if (found.error == NULL && params->code == NULL) {
        found.error = strdup("code is missing: the Python code to execute, a string");
    }
    if (found.error == NULL) return 0;
    cleanup_python_params(params);
    *error = found.error;
    return -1;
}

/* The JSON of a result that did not come from the interpreter. */
static char *failure_json(const char *reason) {
    Text json = {0};
    text_puts(&json, "{\"stdout\": \"\", \"stderr\": \"\", \"exception\": ");
    text_add_json(&json, reason == NULL ? "out of memory" : reason);
    text_puts(&json, ", \"success\": false, \"execution_time\": 0.0, \"timed_out\": false}");
    if (json.failed) text_free(&json);
    return json.data;
}

int execute_python_tool_call(const ToolCall *call, ToolResult *result) {
    PythonExecutionParams params;
    PythonExecutionResult read = {0};
    char *reason = NULL, *line = NULL;
    *result = (ToolResult){.tool_call_id = call->id == NULL ? NULL : strdup(call->id)};
    if (python_params_from_json(call->arguments, &params, &reason) == 0) {
        reason = refusal(&params);
        if (reason == NULL) line = exchange(params.code, timeout_of(&params), &reason);
    }
    cleanup_python_params(&params);
    if (line == NULL) {
        result->result = failure_json(reason);
        free(reason);
        return -1;
    }
    Json json = {line, NULL};
    result->success = json_object(&json, result_member, &read) && read.success;
    cleanup_python_result(&read);
    result->result = line; /* it is what a model reads, as it stands */
    return result->success ? 0 : -1;
}

int register_python_tool(ToolRegistry *registry) {
    for (int i = 0; i < registry->count; i++)
        if (strcmp(registry->functions[i].name, TOOL_NAME) == 0) return -1;
    if (registry->count >= TOOL_REGISTRY_SIZE) return -1;
    registry->functions[registry->count++] = (ToolFunction){TOOL_NAME, TOOL_DESCRIPTION, TOOL_PARAMETERS};
    return 0;
}

static void forget_command(void) {
    for (size_t i = 0; interpreter.command != NULL && interpreter.command[i] != NULL; i++) free(interpreter.command[i]);
    free(interpreter.command);
    interpreter.command = NULL;
}

int python_interpreter_init(const char *const command[]) {
    const char *const *given = command == NULL || command[0] == NULL ? DEFAULT_COMMAND : command;
    size_t count = 0;
    python_interpreter_shutdown();
    while (given[count] != NULL) count++;
    interpreter.command = calloc(count + 1, sizeof *interpreter.command);
    if (interpreter.command == NULL) return start_failed("out of memory", 0);
    for (size_t i = 0; i < count; i++)
        if ((interpreter.command[i] = strdup(given[i])) == NULL) return start_failed("out of memory", 0);
    if (launch() != 0) return -1;
    char nothing[] = "pass";
    PythonExecutionParams params = {nothing, START_SECONDS, 1};
    PythonExecutionResult result;
    int code = python_execute(&params, &result); /* whether it runs at all */
    if (code != 0) start_failed(result.exception == NULL ? "out of memory" : result.exception, 0);
    cleanup_python_result(&result);
    return code;
}

const char *python_interpreter_error(void) { return interpreter.error; }

pid_t python_interpreter_pid(void) { return interpreter.pid; }

void python_interpreter_shutdown(void) {
    stop(ENDING_SECONDS);
    forget_command();
    interpreter.error[0] = '\0';
}

void cleanup_python_params(PythonExecutionParams *params) {
    free(params->code);
    *params = (PythonExecutionParams){0};
}

void cleanup_python_result(PythonExecutionResult *result) {
    free(result->stdout_output);
    free(result->stderr_output);
    free(result->exception);
    *result = (PythonExecutionResult){0};
}

void cleanup_tool_result(ToolResult *result) {
    free(result->tool_call_id);
    free(result->result);
    *result = (ToolResult){0};
}
