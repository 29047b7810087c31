/* meta_data.h: what the meta-data of NoCloud and of VMware say alike. */
#ifndef COMPOS_META_DATA_H
#define COMPOS_META_DATA_H

#include "json/json.h"
#include "result.h"

/* The host's name and the instance's. */
void meta_data_apply(struct result *result, const struct json *root);

#endif
