/* meta_data.c: see meta_data.h. */
#include "meta_data.h"

void meta_data_apply(struct result *result, const struct json *root)
{
    const struct json *value = json_string(root, "local-hostname");
    if (!value)
        value = json_string(root, "hostname");
    if (value)
        result_hostname(result, value->text, value->length);
    if ((value = json_string(root, "instance-id")))
        result_value(result, "instance_id", value->text, value->length);
}
