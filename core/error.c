#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

fv_status fv_fail(fv_error *e, fv_status status, const char *format, ...) {
    if (e == NULL) return status;
    e->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    return status;
}

fv_status fv_fail_in(fv_error *e, const char *format, ...) {
    if (e == NULL) return FV_OK;
    /* The place may be formatted from the message itself, so the new text is built beside the old one. */
    char text[sizeof e->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t at = strlen(text);
    if (snprintf(text + at, sizeof text - at, ": %s", e->text) < 0) text[at] = '\0';
    memcpy(e->text, text, sizeof text);
    return e->status;
}

const char *fv_status_name(fv_status status) {
    static const char *const names[] = {
#define X(name, text) [FV_##name] = text,
        FV_STATUS_MAP(X)
#undef X
    };
    return (unsigned)status < FV_COUNT(names) ? names[status] : "unknown status";
}
