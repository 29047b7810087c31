/* events.c: see events.h. */
#include "events.h"

#include "json/json.h"

#include <string.h>

/* What does not fit is no event that matters here: such have a few hundred bytes. */
enum { MAX_LINE = 65536 };

static char events_line[MAX_LINE];
static size_t events_length;

void events_reset(void)
{
    events_length = 0;
}

static bool events_is(const struct json *event, const char *type, const char *action)
{
    const struct json *own_type = json_string(event, "Type");
    const struct json *own_action = json_string(event, "Action");
    return own_action && strcmp(own_action->text, action) == 0 &&
           (!type || (own_type && strcmp(own_type->text, type) == 0));
}

static bool events_frees(char *line, size_t length)
{
    struct failure failure;
    if (length == 0 || line[0] != '{')
        return false;
    struct json *event = json_parse(line, length, &failure);
    bool frees = events_is(event, "image", "delete") || events_is(event, "container", "destroy") ||
                 events_is(event, "volume", "destroy") || events_is(event, NULL, "prune");
    json_free(event);
    return frees;
}

bool events_take(const char *bytes, size_t count)
{
    bool frees = false;
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != '\n') {
            if (events_length < MAX_LINE)
                events_line[events_length++] = bytes[i];
            continue;
        }
        if (events_length < MAX_LINE)
            frees |= events_frees(events_line, events_length);
        events_length = 0;
    }
    return frees;
}
