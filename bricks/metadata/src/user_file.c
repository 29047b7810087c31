/* user_file.c: see user_file.h. */
#include "user_file.h"

#include "report.h"
#include "small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

bool user_file_find(const struct search *search, struct result *result)
{
    struct failure failure;
    size_t length;
    const char *path = search->argument + strlen(search->provider->argument);
    char *bytes = small_file_read(AT_FDCWD, path, MAX_USER_DATA, &length, &failure);
    if (!bytes) {
        if (errno == ENOENT)
            report_detail("%s", failure.text);
        else
            report("%s", failure.text);
        return false;
    }
    if (result_begin(result, path) < 0) {
        result_user_data(result, bytes, 0);
        return false;
    }
    result_user_data(result, bytes, length);
    return true;
}
